"""What the pipeline reads of a pack's events, whatever their format."""

from eventstore.errors import PackCorrupt
from eventstore.formats import READERS, Fields, Run
from eventstore.packing import Pack, Tombstone


def fields_of(pack: Pack) -> list[Fields | str]:
    """Of each event, in order; a text says why that event can't be read. Of an erased one its name
    is left. Raises PackCorrupt."""
    if pack.format not in READERS:
        raise PackCorrupt(f"format {pack.format!r} is not known to this release")
    read = READERS[pack.format].fields
    if not pack.tombstones:
        return [
            one
            for context, block, lengths, count in pack.runs()
            for one in read(Run(block, count, lengths, context, pack.names))
        ]
    found: list[Fields | str] = []
    for index, (event, share) in enumerate(pack.per_event()):
        left = pack.tombstones.get(index)
        run = Run(event, 1, [len(event)], share.context, pack.names)
        found += read(run) if left is None else [Fields(name=left.name)]
    return found


def erased_by(left: Tombstone) -> str:
    """The reason of the dead letter that an erased event is, or would be."""
    return f"erased: certificate {left.certificate}"
