"""The ports: queue, event store, aggregates. What every engine promises, on one screen each.

Anything may raise EngineUnavailable; then nothing of the call is promised: a part may be there.
"""

from eventstore.ports.aggregates import Aggregates, Generation
from eventstore.ports.objects import Objects
from eventstore.ports.queue import Depth, Lease, Packed, Queue, QueueLedger, Waiting
from eventstore.ports.records import (
    ERASED,
    DeadLetter,
    Enriched,
    Noted,
    Order,
    Partials,
    Rewritten,
    Stored,
    StoreLedger,
    Tidied,
    Trained,
)
from eventstore.ports.store import EventStore
from eventstore.ports.way import NO_WAYS, Stage, Way

__all__ = [
    "ERASED",
    "NO_WAYS",
    "Aggregates",
    "DeadLetter",
    "Depth",
    "Enriched",
    "EventStore",
    "Generation",
    "Lease",
    "Noted",
    "Objects",
    "Order",
    "Packed",
    "Partials",
    "Queue",
    "QueueLedger",
    "Rewritten",
    "Stage",
    "StoreLedger",
    "Stored",
    "Tidied",
    "Trained",
    "Waiting",
    "Way",
]
