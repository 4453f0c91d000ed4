"""Packs that are enriched together become what each would become alone, to the byte."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventstore import packing
from eventstore.columnar import MANY
from eventstore.dictionaries import NO_DICTIONARIES
from eventstore.errors import PackCorrupt
from eventstore.event import new_pack_id
from eventstore.formats import json_fields
from eventstore.ports import Enriched, Lease, Way
from eventstore.processing import ahead
from eventstore.processing.ahead import Ahead
from eventstore.processing.enrich import Rules, enrich, enrich_together, unpacked
from eventstore.settings import Settings

NOW_MS = 1795530600_000
RULES = Rules.of(Settings())
USUAL = {"id": "a", "type": "click", "at": "2026-11-25T18:00:00.000Z", "user": "u", "url": "/p?q=1"}
PHONE = "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/126.0.0.0 Mobile Safari/537.36"
texts = st.one_of(st.none(), st.sampled_from(["", "a", "b", "é", "x" * 600]), st.integers(0, 1))
events = st.fixed_dictionaries(
    {},
    optional={
        "id": texts,
        "type": texts,
        "at": st.sampled_from(["2026-11-25T18:00:00.000Z", "2026-11-24", "soon", 1764093600]),
        "user": texts,
        "session": texts,
        "ip": st.sampled_from(["", "192.0.2.1", "2001:db8::1"]),
        "user_agent": st.sampled_from(["", "curl/8", PHONE]),
        "referrer": st.sampled_from(["", "https://www.google.com/", "https://a.example/x"]),
        "url": st.sampled_from(["", "/p?utm_source=b&q=1", "https://a.example/?gclid=7#h", "?"]),
    },
)
requests = st.tuples(st.sampled_from(["", "curl/8"]), st.lists(events, min_size=1, max_size=4))
packs_of_requests = st.lists(st.lists(requests, min_size=1, max_size=3), min_size=1, max_size=4)


@settings(deadline=None, max_examples=100)
@given(packs_of_requests, st.booleans())
def test_whatever_stands_beside_it(packs: list[list[tuple[str, list[Any]]]], at_once: bool):
    leases = [lease(requests) for requests in packs]
    with pytest.MonkeyPatch.context() as patch:
        alone = [enrich(one.pack_id, one.body, RULES) for one in leases]
        if at_once:
            patch.setattr(json_fields, "AT_ONCE_MIN", 1)
        assert alike(together(leases), alone)
        assert alike(together(leases[::-1]), alone[::-1])


@pytest.mark.parametrize("count", [63, MANY, 2 * MANY])
def test_however_many_there_are(count: int):
    """Packs of 1,000 and more are read as columns, small ones event by event."""
    agents = ["curl/8", PHONE, ""]
    some = [
        {
            **USUAL,
            "id": f"i{n}",
            "user": f"u{n % 7}",
            "url": f"https://a.example/{n % 50}?utm_source={n % 3}&q={n}",
            "user_agent": agents[n % 3],
            "type": f"t{(n * n) % 11}",
        }
        for n in range(count)
    ]
    leases = [lease([("", some)]), lease([("", some[::-1])]), lease([(PHONE, [USUAL] * MANY)])]
    assert alike(together(leases), [enrich(one.pack_id, one.body, RULES) for one in leases])


@pytest.mark.parametrize("odd", [7, {"a": 1}, "x" * 3000])
def test_one_that_must_be_read_event_by_event_changes_nothing_for_the_others(odd: object):
    usual = [{**USUAL, "id": f"i{n}", "url": f"/{n % 9}"} for n in range(2 * MANY)]
    leases = [lease([("", usual)]), lease([("", [*usual[:9], {**USUAL, "url": odd}])])]
    assert alike(together(leases), [enrich(one.pack_id, one.body, RULES) for one in leases])


def test_dead_events_stay_their_packs():
    good, bad = lease([("", [USUAL])]), lease([("", [USUAL, USUAL, USUAL])])
    pack = packing.unpack(bad.body)
    left = packing.Tombstone("c", NOW_MS, "n")
    body = packing.repack(replace(pack, refused={1: "bad"}, tombstones={2: left}))
    bad = replace(bad, body=body)
    leases = [good, bad, good]
    found = together(leases)
    assert alike(found, [enrich(one.pack_id, one.body, RULES) for one in leases])
    assert [[one.index for one in each.dead] for each in found] == [[], [1, 2], []]


def test_they_are_asked_for_one_by_one(monkeypatch: pytest.MonkeyPatch):
    """Those of another kind, damaged ones and such as were tried before stand between them."""
    sizes: list[int] = []

    def seen(given: Sequence[Any], rules: Rules) -> list[Enriched]:
        sizes.append(len(given))
        return enrich_together(given, rules)

    monkeypatch.setattr(ahead, "enrich_together", seen)
    first, other, again, last = (lease([("", [{**USUAL, "id": f"i{n}"}])]) for n in range(4))
    elsewhere = lease([("", [USUAL])], endpoint="/other")
    damaged = replace(other, body=other.body[:-1])
    leases = [first, elsewhere, damaged, replace(again, attempts=2), last]
    enriching = Ahead(RULES, NO_DICTIONARIES)
    for place, one in enumerate(leases):
        if one is damaged:
            with pytest.raises(PackCorrupt):
                enriching.enriched(one, leases[place + 1 :])
        else:
            found = enriching.enriched(one, leases[place + 1 :])
            assert alike([found], [enrich(one.pack_id, one.body, RULES)])
    assert sorted(sizes) == [1, 2]


def test_no_more_than_enough_are_taken_together(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ahead, "BYTES_ENOUGH", 1)
    leases = [lease([("", [USUAL])]) for _ in range(3)]
    enriching = Ahead(RULES, NO_DICTIONARIES)
    assert [enriching.enriched(one, leases).pack_id for one in leases] == [
        one.pack_id for one in leases
    ]


def test_what_harms_them_together_is_found_out_alone(monkeypatch: pytest.MonkeyPatch):
    def fails(given: Sequence[Any], rules: Rules) -> list[Enriched]:
        raise MemoryError

    monkeypatch.setattr(ahead, "enrich_together", fails)
    one = lease([("", [USUAL])])
    found = Ahead(RULES, NO_DICTIONARIES).enriched(one, [])
    assert alike([found], [enrich(one.pack_id, one.body, RULES)])


def lease(requests: Sequence[tuple[str, list[Any]]], endpoint: str = "/v1/events") -> Lease:
    pack_id = new_pack_id()
    shares = [packing.Share(len(some), NOW_MS, user_agent=agent) for agent, some in requests]
    blocks = [b"\n".join(map(orjson.dumps, some)) for _, some in requests]
    body = packing.pack(pack_id, {"endpoint": endpoint, "source": "s"}, shares, blocks, None)
    return Lease(pack_id, body, 1, "token", "", Way(endpoint, 1))


def together(leases: Sequence[Lease]) -> list[Enriched]:
    return enrich_together([unpacked(one.pack_id, one.body) for one in leases], RULES)


def alike(some: Sequence[Enriched], others: Sequence[Enriched]) -> bool:
    return list(map(plain, some)) == list(map(plain, others))


def plain(one: Enriched) -> list[object]:
    arrays = (one.windows, one.name_codes, one.keys, one.key_spans)
    return [
        *(one.pack_id, one.body, one.sidecar, one.endpoint, list(one.names), list(one.dead)),
        *(array.tolist() for array in arrays),
    ]
