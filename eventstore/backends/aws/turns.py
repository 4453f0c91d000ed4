"""Turns: what one at a time does, of those who could. Two of them at once would do no harm.

turns   <what>   who has it, and until when
"""

from contextlib import suppress

from eventstore.backends.aws.calls import Unmet
from eventstore.backends.aws.table import Item, Table

TURNS = "turns"
WHO, UNTIL = "who", "until_ms"
# Nobody takes a turn for longer than others do: one that ends later was taken by another clock.
FREE = f"attribute_not_exists(pk) OR {WHO} = :who OR {UNTIL} <= :now OR {UNTIL} > :latest"


class Turns:
    """Over the event store's table."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def take(self, what: str, who: str, now_s: float, for_s: float) -> bool:
        """Whether it is who's until then: it was before, or was nobody's."""
        now, latest = int(now_s * 1000), int((now_s + for_s) * 1000)
        had = self._table.get((TURNS, what))  # a write that is refused costs five times as much
        if had and had.values[WHO] != who and now < int(had.values[UNTIL]) <= latest:
            return False
        with suppress(Unmet):
            self._table.put_if(
                Item(TURNS, what, {WHO: who, UNTIL: latest}),
                FREE,
                {":who": who, ":now": now, ":latest": latest},
            )
            return True
        return False

    def end(self, what: str, who: str) -> None:
        """It is nobody's, if it was who's."""
        with suppress(Unmet):
            self._table.delete_if((TURNS, what), f"{WHO} = :who", {":who": who})
