"""What is noted of a pack on its way, beside its bytes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from uuid import UUID

LEASED, DEAD = "leased", "dead"  # stages whose notes may quote an event
CODE = re.compile(r"[A-Za-z_]{1,40}(?=:|$)")


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of a pack's way: when it was reached (Unix milliseconds), on which node, by which
    release ("" where that isn't known), and what else there is to say of it."""

    name: str
    at_ms: int
    node: str = ""
    release: str = ""
    note: str = ""

    def public(self) -> "Stage":
        """Without what its note may quote of events."""
        if self.name == LEASED:  # "attempt 2", without what the first one died of
            return replace(self, note=self.note.partition(":")[0])
        return replace(self, note=code_of(self.note)) if self.name == DEAD else self


@dataclass(frozen=True, slots=True)
class Way:
    """What is noted of a pack, beside its bytes: what the ledger counts it under, and the stages
    that it has reached. It decides nothing of what is stored."""

    endpoint: str
    events: int
    stages: tuple[Stage, ...] = ()

    def public(self) -> "Way":
        """Without what notes may quote of events."""
        return replace(self, stages=tuple(one.public() for one in self.stages))


def code_of(reason: str) -> str:
    """What a dead letter's reason begins with; what follows may quote the event."""
    found = CODE.match(reason)
    return found[0] if found else ""


NO_WAYS: Mapping[UUID, Way] = {}
