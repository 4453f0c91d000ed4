"""`GET /receipt/<pack>`, `GET /receipt/<pack>:<index>`: the stages that it has reached.

Whoever has an id may ask: ids can't be guessed, and stages tell nothing of what an event says.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import orjson
from aiohttp.web_request import BaseRequest

from eventstore.collector.reply import Reply
from eventstore.errors import EngineUnavailable, ImpossibleId, Refused
from eventstore.formats.format import JSON

PATH = "/receipt/"
ASK_AGAIN_S = 5
AT_ONCE_MAX = 8  # asking engines must not hold up who sends events


class Answers(Protocol):
    """Where receipts come from. None: nothing is known of it yet; ValueError: no id; ImpossibleId;
    EngineUnavailable."""

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
            return await asyncio.to_thread(self._answered, request.path.removeprefix(PATH))
        except ValueError:
            raise Refused(
                400, "not_an_id", "this is no id", "use a receipt's pack, or pack:index"
            ) from None
        except ImpossibleId as error:
            raise Refused(
                404, "unknown_id", f"no event has this id: {error}", "compare it with the receipt"
            ) from None
        except EngineUnavailable:
            raise Refused(
                503,
                "store_unavailable",
                "the queue or the store can't be asked now",
                "ask again later",
                retry_after_s=1,
            ) from None
        finally:
            self._asking -= 1

    def _answered(self, text: str) -> Reply:
        found = self._answers(text)
        return Reply(200, orjson.dumps(found), JSON) if found else self._not_yet(text)

    def _not_yet(self, text: str) -> Reply:
        """Whoever has this id may have it of a collector whose packs wait in its own node's spool:
        they are durable there, and no other node can see them."""
        where = "this node" if self._holds_back() else "the node that accepted it"
        said = {
            "id": text,
            "state": "unknown",
            "stages": [],
            "reason": "nothing is known under this id yet: what was accepted may wait in the spool"
            f" of {where}, or in SQS, which can't be asked",
            "next": "ask again; when ev_spool_bytes of every collector is 0, and it is still"
            " unknown, it was never accepted, or lost: the ledger tells",
        }
        headers = {"Retry-After": str(ASK_AGAIN_S)}
        return Reply(202, orjson.dumps(said), JSON, headers)

    def close(self) -> None:
        self._answers.close()
