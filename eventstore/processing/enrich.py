"""A pack in, an enriched pack out: a pure function, so that a redelivery overwrites itself."""

from dataclasses import dataclass
from uuid import UUID

from eventstore import packing
from eventstore.dictionaries import NO_DICTIONARIES, Dictionaries
from eventstore.errors import PackCorrupt, SettingsError
from eventstore.formats import READERS, Fields, Read, Run
from eventstore.ports import ERASED, DeadLetter, Enriched
from eventstore.processing import sidecar
from eventstore.processing.columns import Columns, Death, Rows
from eventstore.processing.enrichments import ENRICHMENTS, Enrichment
from eventstore.processing.identity import keys_of, spans_of
from eventstore.processing.reading import erased_by, fields_of
from eventstore.processing.transform_worker import Transformed
from eventstore.processing.transformer import Transformer
from eventstore.settings import Settings
from eventstore.times import event_times


@dataclass(frozen=True, slots=True)
class Rules:
    """What of the settings decides how an event is read."""

    window_s: int
    late_max_s: int
    early_max_s: int
    enrichments: tuple[Enrichment, ...]

    @classmethod
    def of(cls, settings: Settings) -> "Rules":
        """SettingsError when an enrichment is unknown, or its options are wrong."""
        return cls(
            settings.window_s,
            settings.late_max_s,
            settings.early_max_s,
            tuple(map(_enrichment, settings.enrichments)),
        )


def enrich(
    pack_id: UUID,
    body: bytes,
    rules: Rules,
    transformer: Transformer | None = None,
    dictionaries: Dictionaries = NO_DICTIONARIES,
) -> Enriched:
    """Raises PackCorrupt when the bytes are no pack, or another than the queue says."""
    pack = packing.unpack(body, dictionaries)
    if pack.id != pack_id:
        raise PackCorrupt(f"the pack says it is {pack.id}, the queue says {pack_id}")
    read, dead = _read(pack)
    stated = read.stated_times()
    received, sent = pack.moments()
    times = event_times(
        stated, received, sent, late_max_s=rules.late_max_s, early_max_s=rules.early_max_s
    )
    for index, left in pack.tombstones.items():
        times[index] = left.time_ms
    columns = Columns(pack, read, dead, times)
    names = columns.source("name")
    columns.add("time_ms", columns.times_ms)
    columns.add("name", names)
    for step in rules.enrichments:
        step(columns)
    found = sidecar.encode(columns.added)
    made = Transformed()
    if transformer is not None:
        made = transformer.run(body, found, columns.dead, dictionaries)
    for index, reason in made.dead.items():
        columns.die(index, "transform", reason)
    endpoint = pack.tags.get("endpoint", "")
    return Enriched(
        pack_id,
        body,
        found,
        endpoint=endpoint,
        windows=columns.times_ms // 1000 // rules.window_s * rules.window_s,
        names=names.values,
        name_codes=names.codes,
        keys=keys_of(read.pieces("client_id"), pack.tags.get("source", endpoint)),
        key_spans=spans_of(stated),
        dead=_dead_letters(pack, columns),
        view=made.view,
        times_seen=made.times,
    )


def _read(pack: packing.Pack) -> tuple[Read, dict[int, Death]]:
    """Each event's fields, those of a dead event empty; and the dead ones."""
    dead = {index: Death(ERASED, erased_by(left)) for index, left in pack.tombstones.items()}
    dead |= {index: Death("format", reason) for index, reason in pack.refused.items()}
    if (columns := _at_once(pack)) is not None:
        return columns, dead
    fields: list[Fields] = []
    for one in fields_of(pack):
        if type(one) is str:
            dead.setdefault(len(fields), Death("format", one))
            one = Fields()  # noqa: PLW2901 - in its place
        fields.append(one)  # type: ignore[arg-type]
    return Rows(fields), dead


def _at_once(pack: packing.Pack) -> Read | None:
    """All fields of a whole pack, where its format can do that."""
    contexts = {share.context for share in pack.shares}
    if pack.tombstones or len(contexts) != 1 or pack.format not in READERS:
        return None
    ((context, block, lengths, count),) = pack.runs()
    return READERS[pack.format].columns(Run(block, count, lengths, context, pack.names))


def _dead_letters(pack: packing.Pack, columns: Columns) -> tuple[DeadLetter, ...]:
    if not columns.dead:
        return ()
    events = pack.events
    return tuple(
        DeadLetter(pack.id, index, stage, reason, events[index])
        for index, (stage, reason) in sorted(columns.dead.items())
    )


def _enrichment(named: object) -> Enrichment:
    """From the settings: a name, or a mapping of one name to its options."""
    name, options = (named, {}) if isinstance(named, str) else next(iter(dict(named).items()))  # type: ignore[call-overload]
    if name not in ENRICHMENTS:
        raise SettingsError(f"enrichments: {name!r}: one of {', '.join(ENRICHMENTS)}")
    return ENRICHMENTS[name](options)
