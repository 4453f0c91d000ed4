"""What is noted of a pack on its way, beside its bytes."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of a pack's way: when it was reached (Unix milliseconds), on which node, by which
    release ("" where that isn't known), and what else there is to say of it."""

    name: str
    at_ms: int
    node: str = ""
    release: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Way:
    """What is noted of a pack, beside its bytes: what the ledger counts it under, and the stages
    that it has reached. It decides nothing of what is stored."""

    endpoint: str
    events: int
    stages: tuple[Stage, ...] = ()


NO_WAYS: Mapping[UUID, Way] = {}
