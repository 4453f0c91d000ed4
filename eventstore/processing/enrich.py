"""A pack in, an enriched pack out: a pure function, so that a redelivery overwrites itself."""

from dataclasses import dataclass
from uuid import UUID

from eventstore import packing
from eventstore.errors import PackCorrupt, SettingsError
from eventstore.formats import READERS, Fields, Read, Run
from eventstore.ports import DeadLetter, Enriched
from eventstore.processing import sidecar
from eventstore.processing.columns import Columns, Death, Rows
from eventstore.processing.enrichments import ENRICHMENTS, Enrichment
from eventstore.processing.identity import keys_of, spans_of
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
    pack_id: UUID, body: bytes, rules: Rules, transformer: Transformer | None = None
) -> Enriched:
    """Raises PackCorrupt when the bytes are no pack, or another than the queue says."""
    pack = packing.unpack(body)
    if pack.id != pack_id:
        raise PackCorrupt(f"the pack says it is {pack.id}, the queue says {pack_id}")
    read, dead = _read(pack)
    stated = read.stated_times()
    received, sent = pack.moments()
    times = event_times(
        stated, received, sent, late_max_s=rules.late_max_s, early_max_s=rules.early_max_s
    )
    columns = Columns(pack, read, dead, times)
    names = columns.source("name")
    columns.add("time_ms", columns.times_ms)
    columns.add("name", names)
    for step in rules.enrichments:
        step(columns)
    found = sidecar.encode(columns.added)
    made = transformer.run(body, found, columns.dead) if transformer else Transformed()
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
    if pack.format not in READERS:
        raise PackCorrupt(f"format {pack.format!r} is not known to this release")
    reader = READERS[pack.format]
    dead = {index: Death("format", reason) for index, reason in pack.refused.items()}
    runs = [Run(block, count, lengths, context, pack.names)
            for context, block, lengths, count in pack.runs()]  # fmt: skip
    if len(runs) == 1 and (columns := reader.columns(runs[0])) is not None:
        return columns, dead
    fields: list[Fields] = []
    for run in runs:
        for one in reader.fields(run):
            if type(one) is str:
                dead.setdefault(len(fields), Death("format", one))
                one = Fields()  # noqa: PLW2901 - in its place
            fields.append(one)  # type: ignore[arg-type]
    return Rows(fields), dead


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
