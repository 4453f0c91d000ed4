"""`events trace ID`: where an event, or a pack, is."""

import argparse
import sys
import time

from eventstore import engines
from eventstore.errors import ImpossibleId
from eventstore.event import parse_id
from eventstore.query.trace import Trace, Tracer, refuse_impossible
from eventstore.settings import Settings
from eventstore.times import iso_time
from eventstore.tools.tool import WAITING_EXIT, NotFound, Tool, print_json


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", help="a pack's id, or an event's: PACK:INDEX")


def run(given: argparse.Namespace, settings: Settings) -> int:
    """Exit code 1 when there can't be such an event; 75 when nothing is known of it yet."""
    pack_id, index = parse_id(given.id)
    queue, store = engines.open_queue(settings), engines.open_store(settings)
    try:
        refuse_impossible(pack_id, time.time_ns() // 1_000_000)
        found = Tracer(queue, store, engines.open_aggregates(settings)).trace(pack_id, index)
    except ImpossibleId as error:
        raise NotFound(f"no event ever had the id {given.id}: {error}") from None
    finally:
        queue.close()
        store.close()
    if found is None:
        why = (
            f"nothing is known of {given.id} yet: if it was accepted, it waits in the spool of the"
            " node that accepted it, a collector whose ev_spool_bytes is not 0; ask again. When all"
            " of them are 0 and it is still unknown, it was never accepted, or lost:"
            " `events ledger --minutes N` names the minute and the hop"
        )
        if given.json:
            print_json({"id": given.id, "state": "unknown", "stages": [], "reason": why})
        print(f"events trace: {why}", file=sys.stderr)
        return WAITING_EXIT
    if given.json:
        print_json(found.to_json())
    else:
        print("\n".join(_lines(found)))
    return 0


def _lines(found: Trace) -> list[str]:
    said = found.to_json()
    head = f"{said['id']} · {said['endpoint']} · {said['state']}"
    return [head, *(
        f"  {one.name:<11}{iso_time(one.at_ms)}  {one.node or '-':<16} {one.release or '-'}"
        + (f"  {one.note}" if one.note else "")
        for one in found.stages
    )]  # fmt: skip


TOOL = Tool(
    "Where an event is: accepted, queued, leased, stored (or dead), aggregated.",
    arguments,
    run,
    (
        "trace 01a20e27-eb53-77f8-851b-06709ece835a:0",
        "trace 01a20e27-eb53-77f8-851b-06709ece835a --json",
    ),
)
