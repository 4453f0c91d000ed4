"""A pack in, an enriched pack out: a pure function, so that a redelivery overwrites itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain, pairwise
from typing import cast
from uuid import UUID

import numpy as np
import orjson

from eventstore import packing
from eventstore.columnar import Coded
from eventstore.dictionaries import NO_DICTIONARIES, Dictionaries
from eventstore.errors import PackCorrupt, SettingsError
from eventstore.formats import READERS, Fields, Read, Run
from eventstore.ports import ERASED, DeadLetter, Enriched
from eventstore.processing import sidecar
from eventstore.processing.columns import Columns, Death, Rows
from eventstore.processing.enrichments import ENRICHMENTS, Enrichment
from eventstore.processing.identity import keys_of, spans_of
from eventstore.processing.reading import erased_by, fields_of
from eventstore.processing.transformer import Transformer
from eventstore.settings import Settings
from eventstore.times import Int64s, event_times


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


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A pack, and the bytes that it came as."""

    pack: packing.Pack
    body: bytes

    @property
    def kind(self) -> str:
        """Packs of one kind can be enriched together."""
        tags = self.pack.tags
        alike = (self.pack.format, self.pack.names, tags.get("endpoint"), tags.get("source"))
        return orjson.dumps(alike, option=orjson.OPT_SORT_KEYS).decode()


def enrich(
    pack_id: UUID,
    body: bytes,
    rules: Rules,
    transformer: Transformer | None = None,
    dictionaries: Dictionaries = NO_DICTIONARIES,
) -> Enriched:
    """Raises PackCorrupt when the bytes are no pack, or another than the queue says."""
    (found,) = enrich_together([unpacked(pack_id, body, dictionaries)], rules)
    return transformed(found, transformer, dictionaries)


def unpacked(pack_id: UUID, body: bytes, dictionaries: Dictionaries = NO_DICTIONARIES) -> Unpacked:
    """Raises PackCorrupt as `enrich` does."""
    pack = packing.unpack(body, dictionaries)
    if pack.id != pack_id:
        raise PackCorrupt(f"the pack says it is {pack.id}, the queue says {pack_id}")
    return Unpacked(pack, body)


def enrich_together(given: Sequence[Unpacked], rules: Rules) -> list[Enriched]:
    """Packs of one kind, before transforms: each becomes what it would become alone."""
    packs = [one.pack for one in given]
    starts = list(accumulate((pack.count for pack in packs), initial=0))
    dead: dict[int, Death] = {}
    for start, pack in zip(starts, packs, strict=False):
        for index, left in pack.tombstones.items():
            dead[start + index] = Death(ERASED, erased_by(left))
        for index, reason in pack.refused.items():
            dead.setdefault(start + index, Death("format", reason))
    read = _at_once(packs)
    if read is None:
        read = _one_by_one(packs, dead)
    stated = read.stated_times()
    columns = Columns(packs, read, dead, _times(packs, stated, read.agos(), rules))
    columns.add("time_ms", columns.times_ms)
    columns.add("name", columns.source("name"))
    for step in rules.enrichments:
        step(columns)
    windows = columns.times_ms // 1000 // rules.window_s * rules.window_s
    source = packs[0].tags.get("source", columns.endpoint)
    keys, spans = keys_of(read.pieces("client_id"), source), spans_of(stated)
    deaths = sorted(columns.dead.items())
    found = []
    parts = columns.parts(starts)
    for one, added, (start, end) in zip(given, parts, pairwise(starts), strict=True):
        names = cast(Coded, added["name"])
        found.append(
            Enriched(
                one.pack.id,
                one.body,
                sidecar.encode(added),
                endpoint=columns.endpoint,
                windows=windows[start:end],
                names=names.values,
                name_codes=names.codes,
                keys=keys[start:end],
                key_spans=spans[start:end],
                dead=_letters(one.pack, {i - start: why for i, why in deaths if start <= i < end}),
            )
        )
    return found


def transformed(
    found: Enriched,
    transformer: Transformer | None,
    dictionaries: Dictionaries = NO_DICTIONARIES,
) -> Enriched:
    """What the user's own steps make of it."""
    if transformer is None:
        return found
    dead = [letter.index for letter in found.dead if letter.index is not None]
    made = transformer.run(found.body, found.sidecar, dead, dictionaries)
    letters = found.dead
    if made.dead:
        pack = packing.unpack(found.body, dictionaries)
        deaths = {index: Death("transform", reason) for index, reason in made.dead.items()}
        letters = (*letters, *_letters(pack, deaths))
        letters = tuple(sorted(letters, key=lambda letter: letter.index or 0))
    return replace(found, dead=letters, view=made.view, times_seen=made.times)


def _at_once(packs: Sequence[packing.Pack]) -> Read | None:
    """All fields of whole packs, where their format can do that."""
    first = packs[0]
    contexts = {share.context for pack in packs for share in pack.shares}
    if any(pack.tombstones for pack in packs) or len(contexts) != 1 or first.format not in READERS:
        return None
    block, lengths = first.block, first.lengths
    if len(packs) > 1:
        if any(pack.lengths is not None for pack in packs):
            return None
        block = b"\n".join([pack.block for pack in packs])
    count = sum(pack.count for pack in packs)
    return READERS[first.format].columns(Run(block, count, lengths, contexts.pop(), first.names))


def _one_by_one(packs: Sequence[packing.Pack], dead: dict[int, Death]) -> Read:
    """Each event's fields, those of a dead event empty; adds the dead ones."""
    fields: list[Fields] = []
    for one in chain.from_iterable(map(fields_of, packs)):
        if type(one) is str:
            dead.setdefault(len(fields), Death("format", one))
            one = Fields()  # noqa: PLW2901 - in its place
        fields.append(one)  # type: ignore[arg-type]
    return Rows(fields)


def _times(
    packs: Sequence[packing.Pack], stated: Int64s, agos: Int64s | None, rules: Rules
) -> Int64s:
    """When the events happened."""
    received, sent = map(np.concatenate, zip(*(pack.moments() for pack in packs), strict=True))
    times = event_times(
        stated, received, sent, agos, late_max_s=rules.late_max_s, early_max_s=rules.early_max_s
    )
    start = 0
    for pack in packs:
        for index, left in pack.tombstones.items():
            times[start + index] = left.time_ms
        start += pack.count
    return times


def _letters(pack: packing.Pack, dead: Mapping[int, Death]) -> tuple[DeadLetter, ...]:
    """dead: by their index in the pack, in order."""
    if not dead:
        return ()
    events = pack.events
    return tuple(
        DeadLetter(pack.id, index, stage, reason, events[index])
        for index, (stage, reason) in dead.items()
    )


def _enrichment(named: object) -> Enrichment:
    """From the settings: a name, or a mapping of one name to its options."""
    name, options = (named, {}) if isinstance(named, str) else next(iter(dict(named).items()))  # type: ignore[call-overload]
    if name not in ENRICHMENTS:
        raise SettingsError(f"enrichments: {name!r}: one of {', '.join(ENRICHMENTS)}")
    return ENRICHMENTS[name](options)
