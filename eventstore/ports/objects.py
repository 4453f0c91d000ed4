"""The port of small objects that are written once: what of several processes one may do."""

from typing import Protocol


class Objects(Protocol):
    """Whole objects by key. Raises EngineUnavailable."""

    def put_once(self, key: str, body: bytes) -> bool:
        """Durable when it returns True. False: there is one already, and it stays."""

    def get(self, key: str) -> bytes | None:
        """None: there is none."""

    def keys(self, prefix: str) -> list[str]:
        """All that begin so, in order."""

    def delete(self, key: str) -> None:
        """Whether or not it is there."""

    def close(self) -> None:
        """Lets go of connections."""
