"""Segments that were begun: noted before they are written, forgotten once every pack in them has an
item that refers to it. What a writer leaves that dies, or comes second, so is known by name.

    begun   <name>   a segment that may hold what nobody refers to
"""

from collections.abc import Iterator

from eventstore.backends.aws.table import Item, Table

BEGUN = "begun"


class Begun:
    """Over the event store's table."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def note(self, name: str) -> None:
        """Durable before a byte of the segment is."""
        self._table.write([Item(BEGUN, name)])

    def forget(self, name: str) -> None:
        self._table.write([], [(BEGUN, name)])

    def left(self, names_max: int, before: str) -> Iterator[str]:
        """The oldest, of names that are smaller."""
        return (one.sk for one in self._table.query(BEGUN, below=before, limit=names_max))
