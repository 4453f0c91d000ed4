"""The autoscaler: every scaling_s, ask all nodes, and decide, if it is this one's to decide.

step() reads as the procedure: whose term is it → ask the nodes → signals → decision → the next
term, with the decision → carry it out. What was not written down was not decided.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from typing import Any, Protocol
from urllib.parse import urlsplit

from eventstore.autoscaling.measure import Page, Round, page_of, signals_of
from eventstore.autoscaling.nodes import Known
from eventstore.autoscaling.record import decided, states_of
from eventstore.autoscaling.terms import Terms
from eventstore.errors import EngineUnavailable
from eventstore.metrics import Counter
from scaling.decide import Target, decide

log = logging.getLogger("eventstore.autoscaler")
ASK_S = 3.0
ASKED_AT_ONCE = 32
PAGE_BYTES_MAX = 1 << 20

Ask = Callable[[str], Page | None]


class Hands(Protocol):
    """What makes the numbers come true, where that is not done by others who read them."""

    def set_desired(self, desired: Mapping[str, int]) -> None:
        """So many nodes of each role. Raises EngineUnavailable."""

    def close(self) -> None:
        """Lets go of connections."""


class Autoscaler:
    """nodes: who there is, asked anew each time. hands None: whoever reads `answer` does it."""

    def __init__(
        self,
        targets: Mapping[str, Target],
        terms: Terms,
        nodes: Known,
        *,
        every_s: float,
        hands: Hands | None = None,
        ask: Ask | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._targets = targets
        self._terms = terms
        self._nodes = nodes
        self._every_s = every_s
        self._hands = hands
        self._ask = ask or ask_page
        self._clock = clock
        self._before: dict[str, Round] = {}
        self._stopping = threading.Event()
        self._answer: dict[str, Any] = {"decides": False, "at": None, "roles": {}, "changes": []}
        self.engine_error = ""
        self.changes = Counter("ev_scaling_changes_total", "Decisions that changed a number.")

    def run(self) -> None:
        """Until stop(); survives nodes and engines that are away for a while."""
        while not self._stopping.is_set():
            began_s = time.monotonic()
            try:
                self.step()
                self.engine_error = ""
            except EngineUnavailable as error:
                log.error("nothing is decided: %s", error)
                self.engine_error = str(error)
            self._stopping.wait(max(self._every_s - (time.monotonic() - began_s), 0.05))
        self._let_go()

    def stop(self) -> None:
        """From any thread: finish the step at hand and return from run()."""
        self._stopping.set()

    def step(self) -> None:
        term = self._terms.last()
        if not self._terms.mine(term):
            self._before = {}  # what was measured will be old when it is this one's turn
            self._say(decides=False, said=term.decided)
            return
        signals = self._signals()
        now_s = self._clock()
        decision = decide(self._targets, states_of(term.decided), signals, now_s)
        said = decided(decision, signals, now_s, term.decided)
        if not self._terms.write(term, said):
            log.warning("another autoscaler has decided: this one stands by")
            return
        for role in sorted(decision.changed):
            log.info("%s: %d: %s", role, decision.desired[role], decision.reasons[role])
            self.changes.add()
        self._say(decides=True, said=said)
        if self._hands is not None:
            self._hands.set_desired(decision.desired)

    @property
    def answer(self) -> dict[str, Any]:
        """{"decides", "at", "roles", "changes"}: whether it is this one that decides, and the last
        that was decided, by whomever: see record.decided."""
        return self._answer

    def desired(self) -> dict[str, int]:
        """By role; empty before the first decision."""
        return {role: one["desired"] for role, one in self._answer["roles"].items()}

    def close(self) -> None:
        self._terms.close()
        if self._hands is not None:
            self._hands.close()

    def _say(self, *, decides: bool, said: Mapping[str, Any]) -> None:
        empty: dict[str, Any] = {"at": None, "roles": {}, "changes": []}
        self._answer = {"decides": decides, **empty, **said}

    def _let_go(self) -> None:
        try:
            self._terms.let_go()
        except EngineUnavailable as error:
            log.error("the next one has to wait for its turn: %s", error)

    def _signals(self) -> dict[str, Any]:
        """Of roles of which it is known who they are. Rates need two rounds."""
        nodes = self._nodes()
        asked = {role: nodes[role] for role in self._targets if role in nodes}
        every = [url for urls in asked.values() for url in urls]
        with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
            pages = dict(zip(every, pool.map(self._ask, every), strict=True))
        rounds: dict[str, Round] = {
            role: {url: pages[url] for url in urls} for role, urls in asked.items()
        }
        before, self._before = self._before, rounds
        return {
            role: signals_of(role, before.get(role, {}), after) for role, after in rounds.items()
        }


def ask_page(url: str) -> Page | None:
    """A node's /metrics; None when it doesn't answer with them."""
    parts = urlsplit(url)
    connection = HTTPConnection(str(parts.hostname), parts.port, timeout=ASK_S)
    try:
        connection.request("GET", "/metrics", headers={"Connection": "close"})
        reply = connection.getresponse()
        body = reply.read(PAGE_BYTES_MAX)
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()
    return (
        page_of(body.decode("utf-8", "replace"), time.monotonic()) if reply.status == 200 else None
    )


def body_of(answer: Mapping[str, Any]) -> bytes:
    """For GET /desired."""
    return json.dumps(answer).encode()
