"""`events probe URL…`: numbered events through the pipeline, and whether each came out once."""

import argparse
import json
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from uuid import UUID, uuid4

from eventstore import engines
from eventstore.ledger import MINUTE_MS
from eventstore.ports import Queue
from eventstore.query.trace import Tracer
from eventstore.settings import Settings
from eventstore.tools.tool import WAITING_EXIT, Tool, print_json

COUNT_MAX = 100_000
SEND_S = 5.0
RETRY_S = 0.2
LOOK_S = 0.2
THROUGH = ("stored", "aggregated")
WAITING = ("accepted", "queued", "leased")
LOST_EXIT = 1
TYPE = "evctl.probe"

Receipt = tuple[int, UUID, int]


@dataclass(frozen=True)
class Found:
    """refused: numbers that no collector took in time; the others were acknowledged. waiting: those
    of them that are still on their way, so neither lost nor through."""

    sent: int
    lost: int
    duplicated: int
    refused: int
    waiting: int


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("urls", nargs="+", metavar="URL", help="of endpoints that take plain JSON")
    parser.add_argument("--count", type=int, default=100, help="how many events (default: 100)")
    parser.add_argument("--within", type=float, default=30.0, help="seconds for all (default: 30)")


def run(given: argparse.Namespace, settings: Settings) -> int:
    """Exit code 1 when one was lost, came twice, or was not taken; 75 when some still wait."""
    if not 1 <= given.count <= COUNT_MAX:
        raise ValueError(f"--count {given.count}: expected 1 to {COUNT_MAX}")
    deadline_s = time.monotonic() + given.within
    receipts = _send(given.urls, given.count, deadline_s)
    queue, store = engines.open_queue(settings), engines.open_store(settings)
    try:
        tracer = Tracer(queue, store, engines.open_aggregates(settings))
        through, waiting = _await(tracer, receipts, deadline_s, lambda: _may_hold_any(queue))
    finally:
        queue.close()
        store.close()
    found = Found(
        sent=len(receipts),
        lost=sum(not through[number] and number not in waiting for number, *_ in receipts),
        duplicated=sum(times > 1 for times in through.values()),
        refused=given.count - len(receipts),
        waiting=len(waiting),
    )
    if given.json:
        print_json(asdict(found))
    else:
        refused = f", {found.refused} refused" if found.refused else ""
        late = f", {found.waiting} still waiting" if found.waiting else ""
        print(f"{found.sent} sent, {found.lost} lost, {found.duplicated} duplicated{refused}{late}")
    if found.lost or found.duplicated or found.refused:
        return LOST_EXIT
    return WAITING_EXIT if found.waiting else 0


def _send(urls: list[str], count: int, deadline_s: float) -> list[Receipt]:
    """Each number to one collector after the other, again under its own id when it wasn't taken."""
    batch, receipts = uuid4().hex, []
    for number in range(count):
        event = {"id": f"probe-{batch}-{number}", "type": TYPE, "number": number}
        attempt = number
        while time.monotonic() < deadline_s:
            receipt = _post(urls[attempt % len(urls)], json.dumps(event).encode())
            if receipt:
                receipts.append((number, *receipt))
                break
            attempt += 1
            time.sleep(RETRY_S)
    return receipts


def _post(url: str, body: bytes) -> tuple[UUID, int] | None:
    """The pack and the place in it; None when it was not acknowledged."""
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{url}: expected http:// or https://")
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - checked
    try:
        with urllib.request.urlopen(request, timeout=SEND_S) as response:  # noqa: S310 - checked
            said = json.loads(response.read())
        return UUID(said["pack"]), int(said["first"])
    except (urllib.error.URLError, OSError, ValueError, KeyError, TypeError):
        return None


def _may_hold_any(queue: Queue) -> bool:
    """Whether a pack that is found nowhere may be there: a queue that remembers would find it."""
    this_minute = time.time_ns() // 1_000_000 // MINUTE_MS
    return queue.ledger(this_minute) is None and queue.depth().packs > 0


def _await(
    tracer: Tracer, receipts: list[Receipt], deadline_s: float, queue_may_hold: Callable[[], bool]
) -> tuple[Counter[int], set[int]]:
    """Number → how often it came out at the other end; and the numbers that still wait then."""
    through: Counter[int] = Counter()
    waiting = receipts
    on_their_way: set[int] = set()
    while waiting:
        still, unknown = [], set()
        on_their_way.clear()
        for number, pack, index in waiting:
            trace = tracer.trace(pack, index)
            state = trace.stages[-1].name if trace else ""
            if state in THROUGH:
                through[number] += 1
            elif state not in ("dead", "duplicate"):
                still.append((number, pack, index))
                if state in WAITING:
                    on_their_way.add(number)
                elif trace is None:
                    unknown.add(number)
        if unknown and queue_may_hold():
            on_their_way |= unknown
        waiting = still
        if waiting and time.monotonic() >= deadline_s:
            break
        if waiting:
            time.sleep(LOOK_S)
    return through, on_their_way


TOOL = Tool(
    "Numbered events through the whole pipeline: how many were lost, and how many came twice.",
    arguments,
    run,
    (
        "probe http://10.77.0.11:8080/v1/events",
        "probe --count 1000 http://10.77.0.11:8080/v1/events",
    ),
)
