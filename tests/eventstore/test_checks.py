"""How deep events are nested, against a walk through what they say."""

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from eventstore.errors import Refused
from eventstore.formats.checks import check_depth
from eventstore.formats.format import Limits, Sent
from eventstore.formats.json_body import read

values = st.recursive(
    st.none() | st.integers() | st.text('{}[]"\\a', max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("{[a", max_size=2), inner),
    max_leaves=10,
)
objects = st.dictionaries(st.text("{[a", max_size=2), values, max_size=3)


def depth(value: Any) -> int:
    if not isinstance(value, dict | list):
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max(map(depth, inner), default=0)


def is_refused(body: bytes, objects: int, depth_max: int) -> bool:
    try:
        check_depth(body, objects, depth_max)
    except Refused as refused:
        assert refused.code == "too_deep"
        return True
    return False


@given(st.lists(objects, min_size=1, max_size=3), st.integers(1, 4), st.sampled_from(("", " ")))
@example([{}], 1, " ")
@example([{"a": {}}], 1, "")
@example([{"a": []}], 1, "")
@example([{"a": "{"}], 1, "")
@example([{}, {"a": {}}], 1, "")
def test_what_is_deeper_is_refused_and_nothing_else(
    events: list[dict[str, Any]], depth_max: int, before: str
):
    body = "\n".join(before + json.dumps(event) for event in events).encode()
    deepest = max(map(depth, events))
    assert is_refused(body, len(events), depth_max) == (deepest > depth_max)


@given(st.lists(objects, min_size=1, max_size=3), st.integers(1, 4), st.booleans())
def test_an_array_is_as_deep_as_its_deepest_event(
    events: list[dict[str, Any]], depth_max: int, alone: bool
):
    sent = json.dumps(events[0] if alone else events).encode()
    deepest = max(map(depth, events[:1] if alone else events))
    try:
        count = read(Sent("POST", "", "", {}, sent, 0), Limits(depth_max, 10, 1 << 20)).count
    except Refused as refused:
        assert (refused.code, deepest > depth_max) == ("too_deep", True)
    else:
        assert (count, deepest > depth_max) == (1 if alone else len(events), False)
