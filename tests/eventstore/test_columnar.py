"""Many texts at once are what they are one by one."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventstore import columnar, packing
from eventstore.columnar import Texts, coded
from eventstore.event import FIELDS, new_pack_id
from eventstore.formats import READERS, Run, json_columns, json_fields
from eventstore.processing import sidecar
from eventstore.processing.columns import Rows
from eventstore.processing.enrich import Rules, enrich
from eventstore.settings import Settings

MANY = 4  # so that this many are read at once


@pytest.fixture(autouse=True, scope="module")
def many_are_few() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(columnar, "MANY", MANY)
        patched.setattr(json_fields, "AT_ONCE_MIN", MANY)
        patched.setattr(json_columns, "ROWS_AT_ONCE", MANY - 1)
        yield


few = st.sampled_from(
    ["", "a", "b?c", "ü", "12345678", "123456789", "x" * 129, "\n", "?", "a" * 128, "a\0"]
)
many = st.lists(few | st.text(max_size=20), min_size=MANY, max_size=20)
SOME: dict[str, Any] = {"id": "a", "type": "click", "at": "2026-11-25T18:00:00.123Z", "n": [1, {}]}


@settings(deadline=None, max_examples=50)
@given(st.lists(few, max_size=3) | many)
def test_a_block_has_the_texts_that_it_is_made_of(texts: list[str]):
    block = Texts.of(texts)
    assert len(block) == len(texts)
    assert block.texts() == coded(texts).texts() == texts
    distinct, codes = block.distinct()
    assert [distinct[code] for code in codes] == block.pieces()
    assert len(set(distinct)) == len(distinct)
    assert block.pieces() == [text.encode() for text in texts]
    assert block.joined() == "".join(texts).encode()
    cut = Texts(block.block, block.starts, block.first(ord("?")))
    assert cut.texts() == [text.partition("?")[0] for text in texts]
    assert b"".join(cut.pieces()) == cut.joined()


def test_texts_that_differ_and_have_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(columnar, "FACTORS", np.zeros_like(columnar.FACTORS))
    texts = [str(number % 7) for number in range(MANY)]
    distinct, codes = Texts.of(texts).distinct()
    assert [distinct[code].decode() for code in codes] == texts


values = st.none() | st.sampled_from(["", "a", "ü", "\n", '"', "\u0000", "\\", "x" * 600, "😀"])
objects = st.dictionaries(st.sampled_from([*FIELDS.values(), "other"]), values)


@settings(deadline=None, max_examples=50)
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


def test_a_pack_becomes_the_same_either_way(monkeypatch: pytest.MonkeyPatch):
    urls = ["https://a.example/?utm_source=b", "https://c.example/d", "/e?gclid=1&q=2", ""]
    agents = ["curl/8", "Mozilla/5.0 (X11; Linux x86_64) Chrome/126.0.0.0 Safari/537.36"]
    events = [
        orjson.dumps({
            "id": f"i{n}", "type": ["click", "view"][n % 2], "url": urls[n % 4],
            "at": f"2026-11-25T18:00:{n % 60:02}.000Z", "user_agent": agents[n % 2],
            "referrer": [None, "https://www.google.com/"][n % 2], "user": f"u{n // 3}",
        })
        for n in range(50)
    ]  # fmt: skip
    pack_id, share = new_pack_id(), packing.Share(len(events), 1_764_093_600_000)
    body = packing.pack(pack_id, {"endpoint": "/e"}, [share], [b"\n".join(events)], None)
    at_once = enrich(pack_id, body, Rules.of(Settings()))
    monkeypatch.setattr(json_fields, "AT_ONCE_MIN", len(events) + 1)
    one_by_one = enrich(pack_id, body, Rules.of(Settings()))
    assert sidecar.decode(at_once.sidecar) == sidecar.decode(one_by_one.sidecar)
    assert at_once.keys.tolist() == one_by_one.keys.tolist()
    assert at_once.key_spans.tolist() == one_by_one.key_spans.tolist()
    assert at_once.counts(()) == one_by_one.counts(())


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
        assert at_once.pieces(name) == rows.pieces(name)
        assert at_once.texts(name).texts() == rows.texts(name).texts()
        assert at_once.coded(name).texts() == rows.coded(name).texts()
