"""Any bytes, for every format: refused, or events that every reader can live with."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from eventstore.errors import Refused
from eventstore.event import new_pack_id
from eventstore.formats import FORMATS, READERS, Limits, Sent
from eventstore.packing import Share, pack, unpack
from eventstore.processing.enrich import Rules, enrich
from eventstore.settings import Settings
from tests.eventstore.corpus import csv_cases, form_cases, json_cases, msgpack_cases

LIMITS = Limits(depth_max=16, events_max=20, bytes_max=1 << 20)
RULES = Rules.of(Settings())
CASES = [*json_cases.JSON, *json_cases.NDJSON, *form_cases.FORM, *csv_cases.CSV]
SEEDS = [case.body for case in (*CASES, *msgpack_cases.MSGPACK) if len(case.body) < 200]
EVENT = b'{"id":"1","source":"s","type":"t","specversion":"1.0","data":{"user":1e99}}'

seeds = st.sampled_from(
    [*SEEDS, EVENT, b"[" + EVENT + b"]", b"payload=%7B%7D", b"payload={}&payload="]
)
cuts = st.tuples(seeds, st.integers(0, 80), st.integers(0, 4), st.binary(max_size=4))
bodies = (
    seeds
    | st.binary(max_size=40)
    | cuts.map(lambda cut: cut[0][: cut[1]] + cut[3] + cut[0][cut[1] + cut[2] :])
    | st.tuples(seeds, seeds).map(b"".join)
)
texts = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=6) | st.sampled_from(
    ["", "%", "%C3%BC", "%ff", '"a b"', '"\\"', "\xe9", "\udcff", "1.0", "2026-11-24T14:30:00Z"]
)
CLOUD_EVENTS = ["application/cloudevents+json", "application/cloudevents-batch+json"]
CONTENT_TYPES = ["", "application/json", "text/plain", "a/b+json", *CLOUD_EVENTS, "\udcff"]
NAMES = ["ce-id", "ce-source", "ce-type", "ce-time", "ce-x", "x-github-delivery", "x-github-event"]
headers = st.builds(
    lambda required, some: {**required, **some},
    st.sampled_from(
        [
            {},
            dict.fromkeys(NAMES, "1") | {"ce-specversion": "1.0"},
            {"X-GitHub-Delivery": "d", "X-GitHub-Event": "push"},
        ]
    ),
    st.fixed_dictionaries(
        {}, optional={**dict.fromkeys(NAMES, texts), "Content-Type": st.sampled_from(CONTENT_TYPES)}
    ),
)


@pytest.mark.parametrize("name", [name for name in FORMATS if FORMATS[name].paths == ("",)])
@settings(max_examples=250, deadline=None)
@given(bodies, headers)
def test_what_is_taken_can_be_read(name: str, body: bytes, given_headers: dict[str, Any]):
    spoken = FORMATS[name]
    query = body.decode("utf-8", "surrogateescape")
    sent = Sent("POST", "", query, CIMultiDict(given_headers), body, 0)
    try:
        events = spoken.read(sent, LIMITS)
    except Refused as error:
        assert 400 <= error.status < 500
        assert spoken.refuse(sent, error).status == error.status
        return
    if not events.count:
        return
    runs = events.contexts or ((events.count, b""),)
    shares = [Share(count, 1795530600_000, context=context) for count, context in runs]
    pack_id, refused = new_pack_id(), events.refused
    packed = pack(
        pack_id,
        {},
        shares,
        [events.block],
        events.lengths,
        format_name=spoken.stored_as,
        refused=refused,
    )
    enriched = enrich(pack_id, packed, RULES)
    assert len(enriched.windows) == events.count
    unreadable = {letter.index for letter in enriched.dead}
    whys = {one.reason.partition(":")[0] for one in enriched.dead if one.index not in refused}
    assert whys <= {"not_rfc5424"} or all("out of range" in one.reason for one in enriched.dead)
    for index, (event, share) in enumerate(unpack(packed).per_event()):
        assert event in (body, query.encode("utf-8", "surrogateescape")) or event in body
        if index not in unreadable and b"e99" not in event.lower() and len(event) < 300:
            READERS[spoken.stored_as].value(event, share.context)
