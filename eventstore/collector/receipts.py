"""`GET /receipt/<pack>`, `GET /receipt/<pack>:<index>`: the stages that it has reached.

Whoever has an id may ask: ids can't be guessed, and stages tell nothing of what an event says.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import orjson
from aiohttp.web_request import BaseRequest

from eventstore.collector.reply import Reply
from eventstore.errors import EngineUnavailable, Refused

PATH = "/receipt/"
AT_ONCE_MAX = 8  # asking engines must not hold up who sends events


class Answers(Protocol):
    """Where receipts come from. None: unknown; ValueError: no id; EngineUnavailable."""

    def __call__(self, text: str, /) -> Mapping[str, Any] | None: ...

    def close(self) -> None: ...


class ReceiptHandler:
    """Answers from engines, which may block, off the loop. holds_back: whether this node has packs
    that no engine knows of yet."""

    def __init__(self, answers: Answers, holds_back: Callable[[], bool]) -> None:
        self._answers = answers
        self._holds_back = holds_back
        self._asking = 0

    async def __call__(self, request: BaseRequest) -> Reply:
        if request.method != "GET":
            raise Refused(
                405, "method", f"{request.method} is not taken here", "use GET", allow=("GET",)
            )
        if self._asking >= AT_ONCE_MAX:
            raise Refused(
                429, "overloaded", "too many receipts are asked for", "ask later", retry_after_s=1
            )
        self._asking += 1
        try:
            found = await asyncio.to_thread(self._found, request.path.removeprefix(PATH))
        except ValueError:
            raise Refused(
                400, "not_an_id", "this is no id", "use a receipt's pack, or pack:index"
            ) from None
        except EngineUnavailable:
            raise Refused(
                503,
                "store_unavailable",
                "the queue or the store can't be asked now, or packs wait in this node's spool",
                "ask again later",
                retry_after_s=1,
            ) from None
        finally:
            self._asking -= 1
        if found is None:
            raise Refused(
                404,
                "unknown_id",
                "nothing is known under this id",
                "compare it with the receipt; the ledger tells whether something was lost",
            )
        return Reply(200, orjson.dumps(found), "application/json")

    def _found(self, text: str) -> Mapping[str, Any] | None:
        held_back = self._holds_back()  # before: it may reach the queue meanwhile
        found = self._answers(text)
        if found is None and held_back:
            raise EngineUnavailable("it may be one of those that wait in the spool")
        return found

    def close(self) -> None:
        self._answers.close()
