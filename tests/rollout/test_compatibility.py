"""Schemas: readers before writers, and what can't work is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.rollout.compatibility import Change, order
from cli.rollout.errors import OneWayChange, SchemasClash


def _role(reads: dict[str, list[int]] | None = None, writes: dict[str, int] | None = None):
    return {"reads": reads or {}, "writes": writes or {}}


WRITES_1, WRITES_2 = _role(writes={"pack": 1}), _role(writes={"pack": 2})
READS_1, READS_12, READS_2 = (_role({"pack": versions}) for versions in ([1], [1, 2], [2]))


def test_nothing_that_changes_is_in_no_order():
    found = order({"w": Change([WRITES_1], after=WRITES_1), "r": Change([READS_1], after=READS_1)})
    assert found.stages == (("r", "w"),)
    assert found.checks == ("pack 1: written by w, read by r",)


def test_readers_come_before_writers():
    found = order({"a": Change([WRITES_1], after=WRITES_2), "b": Change([READS_1], after=READS_12)})
    assert found.stages == (("b",), ("a",))
    assert found.checks == ("pack 2: b reads it before a writes it",)


def test_a_chain_of_roles_is_turned_round():
    old = {
        "collector": WRITES_1,
        "processor": _role({"pack": [1]}, {"store": 3}),
        "post": _role({"store": [3]}),
    }
    new = {
        "collector": WRITES_2,
        "processor": _role({"pack": [1, 2]}, {"store": 4}),
        "post": _role({"store": [3, 4]}),
    }
    found = order({role: Change([old[role]], after=new[role]) for role in old})
    assert found.stages == (("post",), ("processor",), ("collector",))


def test_a_writer_without_its_readers_is_refused():
    changes = {"w": Change([WRITES_1], after=WRITES_2), "r": Change(staying=[READS_1])}
    with pytest.raises(SchemasClash, match="w would write pack 2, which some r can't read") as no:
        order(changes)
    assert no.value.exit_code == 2
    assert "roll r out first" in no.value.next_step


def test_some_readers_that_stay_behind_are_enough_to_refuse():
    changes = {
        "w": Change([WRITES_1], after=WRITES_2),
        "r": Change([READS_1], staying=[READS_12, READS_1], after=READS_12),
    }
    with pytest.raises(SchemasClash):
        order(changes)


def test_a_release_that_does_not_fit_itself_is_refused():
    with pytest.raises(SchemasClash, match="the new r can't read"):
        order({"w": Change([WRITES_1], after=WRITES_2), "r": Change([READS_1], after=READS_1)})


def test_back_past_a_change_of_the_schema_only_when_told():
    back = {"w": Change([WRITES_2], after=WRITES_1), "r": Change([READS_12], after=READS_1)}
    with pytest.raises(
        OneWayChange, match="r would no longer read pack 2, which w writes now"
    ) as no:
        order(back)
    assert "--past-one-way" in no.value.next_step
    told = order(back, past_one_way=True)
    assert told.stages == (("w",), ("r",)), "the writer first: it writes what both read"
    assert told.checks[-1] == "pack 2: r no longer reads it, as was told"


def test_back_to_one_that_reads_both_needs_no_telling():
    back = {"w": Change([WRITES_2], after=WRITES_1), "r": Change([READS_12], after=READS_12)}
    assert order(back).stages == (("r", "w"),)


def test_what_must_come_before_each_other_is_refused():
    changes = {
        "a": Change([_role({"y": [1]}, {"x": 1})], after=_role({"y": [1, 2]}, {"x": 2})),
        "b": Change([_role({"x": [1]}, {"y": 1})], after=_role({"x": [1, 2]}, {"y": 2})),
    }
    with pytest.raises(SchemasClash, match="no order") as no:
        order(changes)
    assert "a, b" in no.value.why


def test_a_role_that_says_nothing_of_a_topic_is_no_reader_of_it():
    changes = {"w": Change([WRITES_1], after=WRITES_2), "r": Change([{}], after={})}
    assert order(changes).stages == (("r", "w"),)


versions = st.integers(1, 3)
facts = st.builds(
    _role,
    st.dictionaries(st.sampled_from("xy"), st.lists(versions, min_size=1)),
    st.dictionaries(st.sampled_from("xy"), versions),
)
some = st.lists(facts, max_size=2)
changes_of = st.dictionaries(
    st.sampled_from("abc"),
    st.builds(Change, some, some, facts) | st.builds(Change, staying=some),
    min_size=1,
)


@given(changes_of, st.booleans())
def test_in_the_order_that_is_found_every_reader_can_read_what_is_written(changes, told):
    """At every step between two stages, of all that is written from then on."""
    try:
        stages = order(changes, past_one_way=told).stages
    except (SchemasClash, OneWayChange):
        return
    assert sorted(role for stage in stages for role in stage) == sorted(
        role for role, change in changes.items() if change.after is not None
    )
    if told:
        return
    through: set[str] = set()
    for stage in stages:
        for writer in stage:  # from now on the new one writes
            for topic, version in changes[writer].after["writes"].items():
                for reader, change in changes.items():
                    reading = [
                        *change.staying,
                        *([change.after] if reader in through else change.before),
                    ]
                    for each in reading if reader not in stage else change.staying:
                        assert version in each.get("reads", {}).get(topic, [version])
        through |= set(stage)
