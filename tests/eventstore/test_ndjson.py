"""The quick check of NDJSON against a strict parser: it must never take what is not sound."""

import json
from typing import Any

import orjson
from hypothesis import example, given, settings
from hypothesis import strategies as st

from eventstore.errors import Refused
from eventstore.event import new_pack_id
from eventstore.formats import ndjson
from eventstore.formats.format import Limits, Sent
from eventstore.packing import Share, pack
from eventstore.processing.enrich import Rules, enrich
from eventstore.settings import Settings

# Small bodies are parsed line by line: here all of them take the quick way.
ndjson.PLAIN_BYTES_MIN = 2
DEPTH_MAX = 8
LIMITS = Limits(depth_max=DEPTH_MAX, events_max=50, bytes_max=1 << 20)
RULES = Rules.of(Settings())
FIELD_NAMES = ["id", "type", "at", "user_agent", "a", ""]

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(max_codepoint=0x7F), max_size=6)
    | st.text(max_size=3)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from(FIELD_NAMES), values, max_size=4)
lines = st.builds(lambda value: json.dumps(value).encode(), objects | objects | values)
# Pieces that have broken parsers; joined at random they are nearly JSON.
PIECES = r"""{ } [ ] : , " \\ {" "} {} [] {"a": "id": "at": "type": 1 -1 01 1. .5 1e5 1e999 -1e999
1E400 9e-999 NaN Infinity -Infinity null true tru "\ud800" "\uD83D\uDE00" \u \x41 \u00 // /* */ '"""
CONTROLS = ["}\n{", "}\n", "\n", "\r", "\t", " ", "\x00", "\x01", "\x7f", "\xe9", "\ufeff"]
pieces = st.sampled_from([*PIECES.split(), *CONTROLS])
digits = st.integers(1, 400).map(lambda count: "9" * count)
nearly = st.lists(pieces | digits, max_size=14).map(lambda some: "".join(some).encode())
joined = st.lists(lines | nearly, min_size=1, max_size=4).map(b"\n".join)
spliced = st.tuples(
    joined, st.integers(0, 60), st.integers(0, 3), nearly | st.binary(max_size=2)
).map(lambda cut: cut[0][: cut[1]] + cut[3] + cut[0][cut[1] + cut[2] :])
bodies = joined | spliced | joined.map(lambda body: body + b"\n") | st.binary(max_size=30)


def strictly(line: bytes) -> Any:
    """The line's value. The one thing that may pass besides: a number beyond a double's range."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        assert "infinity" in str(error), (line, error)
        return json.loads(line)


def depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max(map(depth, inner), default=0) if isinstance(value, dict | list) else 0


@settings(max_examples=1000, deadline=None)
@given(bodies)
@example(b'{"a":1e999}')
@example(b'{}\n{"a":"}\n{"}')
@example(b'{"a":{}\n{}}')
@example(b"{}{}\n{}")
@example(b'{"a":"\\ud800"}')
@example(b'{"a":"\x80"}')
@example(b"{}\n\n{}")
@example(b"{\n}{}")
@example(b'{"a":' * 9 + b"1" + b"}" * 9)
def test_what_the_quick_check_takes_is_one_valid_object_a_line(body: bytes):
    count = ndjson._plainly_sound(body, LIMITS)
    if count:
        found = [strictly(line) for line in body.removesuffix(b"\n").split(b"\n")]
        assert len(found) == count
        assert all(type(one) is dict and depth(one) <= DEPTH_MAX for one in found)


@settings(max_examples=500, deadline=None)
@given(bodies)
@example(b'{"at":1e999}\n{"a":1e999}')
@example(b'{"id":%b}' % (b"9" * 400))
@example(b'{"at":"0001-01-01T00:00:00+23:59","type":"\\u0000"}\n{"at":1e15}\n{"at":-1e14}')
def test_nothing_that_is_taken_breaks_a_processor(body: bytes):
    sent = Sent("POST", "", "", {}, body, 0)
    try:
        events = ndjson.read(sent, LIMITS)
    except Refused:
        return
    pack_id = new_pack_id()
    share = Share(events.count, 1795530600_000)
    enriched = enrich(pack_id, pack(pack_id, {}, [share], [events.block], events.lengths), RULES)
    assert len(enriched.windows) == events.count
    for letter in enriched.dead:  # only a number that no double holds, where it is to be read
        assert "out of range" in letter.reason, letter
