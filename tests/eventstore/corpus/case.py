"""What a case of the corpus is."""

from dataclasses import dataclass, field

MIB = 1 << 20


@dataclass(frozen=True)
class Case:
    """A request's body, and what becomes of it: a refusal's status and code, or with 200 the number
    of events in it."""

    name: str
    body: bytes
    status: int
    code: str = ""
    events: int = 1
    headers: dict[str, str] = field(default_factory=dict)


def refused(code: str, bodies: dict[str, bytes], status: int = 400) -> list[Case]:
    """Cases that are refused alike."""
    return [Case(name, body, status, code) for name, body in bodies.items()]


def taken(bodies: dict[str, bytes], events: int = 1) -> list[Case]:
    """Cases that are valid, odd as they may look."""
    return [Case(name, body, 200, events=events) for name, body in bodies.items()]
