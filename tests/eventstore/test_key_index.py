"""The index of client keys is exact, whatever its cache holds and however many share the file."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventstore.backends.embedded import key_index
from eventstore.backends.embedded.key_filter import Probe, Segment
from eventstore.backends.embedded.key_index import SCHEMA, KeyIndex
from eventstore.backends.sorted_keys import SortedKeys

Claims = list[list[tuple[int, int]]]
# Few spans and few keys, so that most of them come again; half of the keys differ by halves only.
claims = st.lists(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 60)), min_size=1, max_size=30),
    min_size=1,
    max_size=25,
)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = opened(tmp_path / "keys.sqlite")
    yield connection
    connection.close()


def opened(path: Path | str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        for statement in SCHEMA:
            connection.execute(statement)
    return connection


def keys_of(numbers: list[int]) -> "np.ndarray[tuple[int, int], np.dtype[np.int64]]":
    """Pairs of numbers share their first half."""
    mixed = [((n // 2) * 0x9E3779B97F4A7C15 % 2**64 - 2**63, n) for n in numbers]
    return np.array(mixed, dtype=np.int64).reshape(-1, 2)


def claim(
    index: KeyIndex, connection: sqlite3.Connection, some: list[tuple[int, int]]
) -> list[bool]:
    connection.execute("BEGIN IMMEDIATE")
    spans = np.array([span for span, _ in some], dtype=np.int64)
    known = index.claim(connection, spans, keys_of([n for _, n in some])).tolist()
    connection.execute("COMMIT")
    return known


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 60), max_size=30), max_size=25))
def test_sorted_keys_answer_as_a_set_does(made: list[list[int]]):
    held, expected = SortedKeys(), set[int]()
    for some in made:
        known = held.claim(keys_of(some)).tolist()
        assert known == [n in expected or n in some[:place] for place, n in enumerate(some)]
        expected |= set(some)
    assert len(held) == len(expected)


@settings(max_examples=150, deadline=None)
@given(claims, st.sampled_from([8, 50, 10_000]), st.sampled_from([0, 3000, 1 << 20]))
def test_it_answers_as_a_set_does(made: Claims, segment_keys: int, cache_bytes_max: int):
    """Two processes take turns on one file; one of them is started anew in between."""
    connection = opened(":memory:")
    processes = [
        KeyIndex(segment_keys=segment_keys, cache_bytes_max=cache_bytes_max) for _ in range(2)
    ]
    seen: set[tuple[int, int]] = set()
    for turn, some in enumerate(made):
        if turn % 7 == 6:
            processes[0] = KeyIndex(segment_keys=segment_keys, cache_bytes_max=cache_bytes_max)
        expected = []
        for one in some:
            expected.append(one in seen)
            seen.add(one)
        assert claim(processes[turn % 2], connection, some) == expected
    connection.close()


def test_what_was_rolled_back_was_never_there(connection: sqlite3.Connection):
    index = KeyIndex()
    connection.execute("BEGIN IMMEDIATE")
    index.claim(connection, np.zeros(2, dtype=np.int64), keys_of([1, 2]))
    connection.execute("ROLLBACK")
    assert claim(index, connection, [(0, 1), (0, 2), (0, 3)]) == [False, False, False]
    assert claim(index, connection, [(0, 1), (0, 2), (0, 3)]) == [True, True, True]


def test_full_segments_become_sorted_chunks(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(key_index, "CHUNK_KEYS", 16)
    index = KeyIndex(segment_keys=100)
    for first in range(0, 300, 20):
        claim(index, connection, [(7, n) for n in range(first, first + 20)])
    chunks = connection.execute(
        "SELECT first, length(keys) FROM key_runs WHERE first IS NOT NULL ORDER BY segment, first"
    ).fetchall()
    assert {size for _, size in chunks} == {16 * 16, 4 * 16}
    fresh = KeyIndex(segment_keys=100)
    assert all(claim(fresh, connection, [(7, n) for n in range(300)]))
    assert not any(claim(fresh, connection, [(8, n) for n in range(300)]))


def test_a_few_of_a_span_that_is_not_hot_are_looked_up(connection: sqlite3.Connection):
    index = KeyIndex(segment_keys=100)
    for first in range(0, 300, 20):
        claim(index, connection, [(7, n) for n in range(first, first + 20)])
    fresh = KeyIndex(segment_keys=100)
    assert claim(fresh, connection, [(7, 0), (7, 299), (7, 300)]) == [True, True, False]
    assert claim(fresh, connection, [(7, 300), (7, 301)]) == [True, False]
    assert not fresh._spans
    assert all(claim(fresh, connection, [(7, n) for n in range(301)]))
    assert fresh._spans


def test_a_closed_segment_takes_no_more_than_it_must(connection: sqlite3.Connection):
    index = KeyIndex(segment_keys=4096)
    for first in range(0, 3 * 4096, 1024):
        claim(index, connection, [(7, n) for n in range(first, first + 1024)])
    fresh = KeyIndex(segment_keys=4096)  # this one hasn't seen the runs
    assert all(claim(fresh, connection, [(7, n) for n in range(3 * 4096)]))
    for one in (index, fresh):
        closed = [segment.bytes for segment in one._spans[7].values() if segment.closed]
        assert closed == [2 * 4096] * 2


def test_a_filter_suspects_few():
    chance = np.random.default_rng(3)
    there, others = chance.integers(-(2**63), 2**63 - 1, (2, 200_000), dtype=np.int64)
    segment = Segment()
    for start in range(0, len(there), 8000):
        segment.add_run(start, np.sort(there[start : start + 8000]))
    assert segment.words is not None
    assert Probe(there).among(segment.words).all()
    assert Probe(others).among(segment.words).mean() < 0.01
