"""Segments that were begun: noted before they are written, forgotten once every pack in them has an
item that refers to it. What a writer leaves that dies, or comes second, so is known by name.

    begun   <name>   a segment that may hold what nobody refers to
    begun   turn     until when somebody looks after those that were left
"""

from collections.abc import Iterator
from contextlib import suppress

from eventstore.backends.aws.calls import Unmet
from eventstore.backends.aws.table import Item, Table

BEGUN, TURN = "begun", "turn"
UNTIL = "until_s"


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

    def take_turn(self, now_s: float, every_s: float) -> bool:
        """Whether nobody else has had it in this time. Two of them at once would do no harm."""
        turn = Item(BEGUN, TURN, {UNTIL: int(now_s + every_s)})
        with suppress(Unmet):
            self._table.put_if(
                turn, f"attribute_not_exists(pk) OR {UNTIL} <= :now", {":now": int(now_s)}
            )
            return True
        return False
