"""RFC 5424 syslog in the framings of RFC 6587: octet counting, or a message a line.

An event is one message, without its frame. Messages of another syslog are kept as dead letters.
"""

import re
from dataclasses import dataclass
from typing import Any

from eventstore.formats import checks
from eventstore.formats.enveloped import check_count
from eventstore.formats.format import Events, Fields, Format, Limits, Reader, Run, Sent
from eventstore.formats.json_body import block_of
from eventstore.formats.texts import texts_by_name

PIECE_BYTES = 64 << 10  # of a body, before its messages are counted: many are refused early
BETWEEN = b"\r\n\0"  # what may stand between frames
COUNT = re.compile(rb"([1-9][0-9]{0,8}) ")


@dataclass(frozen=True, slots=True)
class Message:
    """One message; why: what makes it unusable, or ""."""

    body: bytes
    why: str = ""


class Framing:
    """Divides a stream into messages. Of one that is longer than bytes_max the beginning is kept,
    as unusable, and the rest is passed over: so no more than that waits here."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._waiting = b""
        self._skip_bytes = 0  # what is left of a counted message that is too long
        self._skip_line = False

    def feed(self, data: bytes) -> list[Message]:
        """The messages that these bytes complete."""
        text = self._waiting + data
        messages: list[Message] = []
        at = self._after_skipped(text, 0)
        while at < len(text):
            if text[at] in BETWEEN:
                at += 1
                continue
            counted = COUNT.match(text, at)
            message, after = self._counted(text, counted) if counted else self._line(text, at)
            if message is None:
                break
            messages.append(message)
            at = self._after_skipped(text, after)
        self._waiting = text[at:]
        return messages

    def finish(self) -> list[Message]:
        """What the end of the stream leaves: it ends a line, but no counted message."""
        rest, self._waiting = self._waiting.strip(BETWEEN), b""
        if not rest:
            return []
        cut = COUNT.match(rest)
        return [Message(rest, "cut_short: the stream ended in this message" if cut else "")]

    def _after_skipped(self, text: bytes, at: int) -> int:
        """Where what is passed over ends."""
        if self._skip_line:
            end = text.find(b"\n", at)
            self._skip_line = end < 0
            return len(text) if end < 0 else end + 1
        size = min(self._skip_bytes, len(text) - at)
        self._skip_bytes -= size
        return at + size

    def _counted(self, text: bytes, counted: re.Match[bytes]) -> tuple[Message | None, int]:
        start, size = counted.end(), int(counted[1])
        end = start + min(size, self._bytes_max)
        if end > len(text):
            return None, start
        self._skip_bytes = start + size - end
        return self._message(text[start:end], size), end

    def _line(self, text: bytes, start: int) -> tuple[Message | None, int]:
        end = text.find(b"\n", start)
        if end < 0:
            if len(text) - start <= self._bytes_max:
                return None, start
            self._skip_line = True
            end = len(text)
        kept = text[start : min(end, start + self._bytes_max)]
        return self._message(kept.rstrip(BETWEEN), end - start), end

    def _message(self, kept: bytes, size: int) -> Message:
        if size <= self._bytes_max:
            return Message(kept)
        return Message(
            kept, f"too_long: a message of {size} bytes or more: at most {self._bytes_max}"
        )


def events_of(messages: list[Message]) -> Events:
    """Messages as events."""
    block = block_of([one.body for one in messages])
    refused = {index: one.why for index, one in enumerate(messages) if one.why}
    return Events(block.block, block.count, block.lengths, refused=refused)


def read(sent: Sent, limits: Limits) -> Events:
    """A body as a stream that ends with it."""
    framing = Framing(limits.bytes_max)
    messages: list[Message] = []
    for start in range(0, len(sent.body), PIECE_BYTES):
        messages += framing.feed(sent.body[start : start + PIECE_BYTES])
        checks.check_count(len(messages), limits)
    messages += framing.finish()
    check_count(messages, limits)
    return events_of(messages)


FORMAT = Format(read, stored_as="syslog")

# https://www.rfc-editor.org/rfc/rfc5424#section-6
HEADER = re.compile(
    rb"<([0-9]{1,3})>1 (\S{1,40}) (\S{1,255}) (\S{1,48}) (\S{1,128}) (\S{1,32}) (.*)", re.DOTALL
)
PAIR = rb' ([^ =\]"]{1,32}+)="((?:[^"\\\]]++|\\.)*+)"'
PARAMETER = re.compile(PAIR, re.DOTALL)
ELEMENT = re.compile(rb'\[([^ =\]"]{1,32})((?:' + PAIR + rb")*+)\]", re.DOTALL)
ESCAPED = re.compile(rb'\\(["\\\]])')
NIL = b"-"
PRIORITY_MAX = 191
PARTS = ("timestamp", "hostname", "app_name", "proc_id", "msg_id")


def fields(run: Run) -> list[Fields | str]:
    """A message is counted by its MSGID, otherwise by its APP-NAME."""
    return [_fields(event) for event in run.events()]


def _fields(event: bytes) -> Fields | str:
    header = HEADER.match(event)
    if header is None or int(header[1]) > PRIORITY_MAX:
        return "not_rfc5424: expected <priority>1 timestamp hostname app-name procid msgid …"
    name = header[6] if header[6] != NIL else header[4]
    return Fields(name=_text(name), time=_text(header[2]))


def value(event: bytes, _context: bytes) -> dict[str, Any]:
    """The message's parts. ValueError when it has none."""
    header = HEADER.match(event)
    if header is None:
        raise ValueError("not RFC 5424")
    priority = int(header[1])
    parts = {name: header[place] for place, name in enumerate(PARTS, 2) if header[place] != NIL}
    data, message = _structured_data(header[7])
    return {
        "facility": priority >> 3,
        "severity": priority & 7,
        **{name: _text(part) for name, part in parts.items()},
        "structured_data": data,
        "message": _text(message.removeprefix(b"\xef\xbb\xbf")),
    }


def _structured_data(rest: bytes) -> tuple[dict[str, dict[str, Any]], bytes]:
    """Each element's parameters, name → text, or a list of texts where a name is there several
    times; and what comes after them."""
    found, at = {}, 0
    while element := ELEMENT.match(rest, at):
        parameters: dict[str, list[str]] = {}
        for name, text in PARAMETER.findall(element[2]):
            parameters.setdefault(_text(name), []).append(_text(ESCAPED.sub(rb"\1", text)))
        found[_text(element[1])] = texts_by_name(parameters)
        at = element.end()
    return found, rest[at:].removeprefix(NIL if at == 0 else b"").removeprefix(b" ")


def _text(part: bytes) -> str:
    return part.decode("utf-8", "replace")


READER = Reader(fields, value)
