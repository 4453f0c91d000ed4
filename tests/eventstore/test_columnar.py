"""Many texts at once are what they are one by one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore import columnar
from eventstore.columnar import MANY, Texts, coded
from eventstore.event import FIELDS
from eventstore.formats import READERS, Run
from eventstore.processing.columns import Rows

few = st.sampled_from(["", "a", "b?c", "ü", "12345678", "123456789", "x" * 97, "\n", "?", "a" * 96])
many = st.lists(few | st.text(max_size=20), min_size=MANY, max_size=2 * MANY)
SOME: dict[str, Any] = {"id": "a", "type": "click", "at": "2026-11-25T18:00:00.123Z", "n": [1, {}]}


@given(st.lists(few, max_size=3) | many)
def test_a_block_has_the_texts_that_it_is_made_of(texts: list[str]):
    block = Texts.of(texts)
    assert len(block) == len(texts)
    assert block.texts() == block.coded().texts() == coded(texts).texts() == texts
    assert len(set(block.coded().values)) == len(block.coded().values)
    assert block.pieces() == [text.encode() for text in texts]
    assert block.joined() == "".join(texts).encode()
    cut = Texts(block.block, block.starts, block.first(ord("?")))
    assert cut.texts() == [text.partition("?")[0] for text in texts]
    assert b"".join(cut.pieces()) == cut.joined()


def test_texts_that_differ_and_have_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(columnar, "MIX", np.uint64(0))
    texts = [str(number % 7) for number in range(MANY)]
    assert Texts.of(texts).coded().texts() == texts


values = st.none() | st.sampled_from(["", "a", "ü", "\n", '"', "\u0000", "\\", "x" * 600, "😀"])
objects = st.dictionaries(st.sampled_from([*FIELDS.values(), "other"]), values)


@given(st.lists(objects, min_size=1, max_size=5))
def test_json_is_read_at_once_as_it_is_one_by_one(some: list[dict[str, Any]]):
    events = (some * MANY)[: MANY + 1]
    assert_read_alike([orjson.dumps(one) for one in events])
    assert_read_alike([orjson.dumps({**SOME, **one}) for one in events])


@pytest.mark.parametrize(
    "odd",
    [
        b'{"id":7}',
        b'{"id":["a"]}',
        b'{"id":true}',
        b'{"id":"a","id":"b"}',
        b'{"\\u0069d":"a"}',
        b' {"id" : "\\ud83d\\ude00" } ',
        b'{"id":"a","x":1e99,"y":{"id":"b"}}',
    ],
)
def test_of_every_json_it_reads_the_same_or_says_that_it_can_not(odd: bytes):
    usual = [orjson.dumps(SOME)] * MANY
    assert_read_alike([odd, *usual])
    assert_read_alike([*usual, odd])


@pytest.mark.parametrize("odd", [b"{", b'{"id":"\xff"}', b"[]", b'{"id":"a"}{"id":"b"}', b""])
def test_what_is_no_event_is_left_to_the_reader_that_finds_it_out(odd: bytes):
    block = b"\n".join([*[orjson.dumps(SOME)] * MANY, odd])
    assert READERS["json"].columns(Run(block, MANY + 1, None, b"", {})) is None


def assert_read_alike(events: Sequence[bytes]) -> None:
    run = Run(b"\n".join(events), len(events), None, b"", {"user": "other"})
    fields = READERS["json"].fields(run)
    rows = Rows([one for one in fields if not isinstance(one, str)])
    at_once = READERS["json"].columns(run)
    if at_once is None:
        assert any(type(orjson.loads(one).get("id")) not in (str, type(None)) for one in events)
        return
    assert len(at_once) == len(rows)
    assert at_once.stated_times().tolist() == rows.stated_times().tolist()
    for name in FIELDS:
        assert at_once.texts(name).texts() == rows.texts(name).texts()
        assert at_once.coded(name).texts() == rows.coded(name).texts()
