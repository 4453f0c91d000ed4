"""Tells a webhook what happens, in the shape that Slack and its like understand.

Nothing waits for it: messages go into a short queue, one thread sends them, each with a bound. The
URL is a secret: it stands in a file of its own, and is never shown, logged, or given to a process.
"""

from __future__ import annotations

import json
import queue
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from artifacts.errors import EvctlError

SEND_S = 5.0
WAITING_MAX = 32
URL_BYTES_MAX = 4096
_URL = re.compile(rb"https?://[!-~]+")


class NoWebhook(EvctlError):
    code = "E5203"
    exit_code = 2
    explanation = (
        "fleet.yaml's `webhook` names a file whose only line is the URL to post to. The URL is a "
        "secret, so the file must be its owner's alone, and the URL is shown nowhere. Without it "
        "rollouts go on, and say that nobody hears of them."
    )


def read_url(path: Path) -> str:
    """NoWebhook, which never quotes what is in the file."""
    try:
        readable_by_others = path.stat().st_mode & 0o077
        body = path.read_bytes()[:URL_BYTES_MAX].strip()
    except OSError as error:
        raise _none(path, error.strerror or type(error).__name__) from error
    if readable_by_others:
        raise _none(path, "others may read it")
    if not _URL.fullmatch(body):
        raise _none(path, "its only line must be an http:// or https:// URL")
    return body.decode()


def _none(path: Path, why: str) -> NoWebhook:
    mend = f"write the URL into it, alone; chmod 600 {path}"
    return NoWebhook(f"no webhook by {path}", why=why, next_step=mend)


class Webhook:
    """complain: told when a message could not be delivered, and why; from another thread."""

    def __init__(self, url: str, complain: Callable[[str], None], send_s: float = SEND_S) -> None:
        self._url = url
        self._complain = complain
        self._send_s = send_s
        self._waiting: queue.Queue[bytes | None] = queue.Queue(WAITING_MAX)
        self._sender = threading.Thread(target=self._send_all, daemon=True)
        self._sender.start()

    def post(self, message: Mapping[str, Any]) -> None:
        """Returns at once. A message for which there is no room is dropped, and told."""
        try:
            self._waiting.put_nowait(json.dumps(message).encode())
        except queue.Full:
            self._complain(f"it is too slow: {WAITING_MAX} messages wait, one was dropped")

    def close(self) -> None:
        """Wait for what is under way, but not longer than one message may take."""
        until = time.monotonic() + self._send_s
        with suppress(queue.Full):
            self._waiting.put(None, timeout=self._send_s)
        self._sender.join(max(0.0, until - time.monotonic()))
        if self._sender.is_alive():
            self._complain(f"no answer within {self._send_s:g} s; what waits is not delivered")

    def _send_all(self) -> None:
        while (body := self._waiting.get()) is not None:
            if why := self._send(body):
                self._complain(why)

    def _send(self, body: bytes) -> str:
        """Why it was not delivered; nothing when it was."""
        try:
            request = urllib.request.Request(  # noqa: S310 - read_url takes http and https only
                self._url, data=body, headers={"Content-Type": "application/json"}
            )
            with _OPENER.open(request, timeout=self._send_s) as answer:
                answer.read(1)
        except urllib.error.HTTPError as error:
            with error:
                return f"it answered {error.code}"
        except Exception as error:  # noqa: BLE001 - whatever it is, a rollout goes on
            return _told(error)  # not its text: that may quote the URL
        return ""


def _told(error: BaseException) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    said = reason.strerror if isinstance(reason, OSError) else None
    return f"it can't be reached: {said or type(reason).__name__}"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """What was meant for one address is told to no other."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


def escaped(text: str) -> str:
    """As Slack wants it: nobody can be paged, nor a link be forged, by what someone has typed."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
