"""The port of published windows: what every engine promises."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Generation:
    """What a generation manifest says of one window.

    version: the partials' version it was folded from; packs, events: how many it counts;
    file: key of the table; sha256: of the table's bytes. published_at_ms, node, release: when and
    by whom; 0 and "" in manifests from before they were there.
    """

    window_start_s: int
    window_s: int
    generation: int
    version: int
    packs: int
    events: int
    file: str
    sha256: str
    published_at_ms: int = 0
    node: str = ""
    release: str = ""
    schema: int = 1
    extra: dict[str, Any] = field(default_factory=dict)  # what a later version has added


class Aggregates(Protocol):
    """Published windows. A reader sees a whole generation or the one before, never a part."""

    def latest(self, window_start_s: int) -> Generation | None:
        """The newest published generation of a window."""

    def publish(self, generation: Generation, table: bytes) -> bool:
        """False: this generation number was published by another; nothing has changed."""

    def windows(self) -> Iterator[Generation]:
        """The newest generation of every window, oldest window first."""

    def read(self, generation: Generation) -> bytes:
        """The table's bytes, checked against the manifest's digest."""
