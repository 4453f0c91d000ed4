"""A rollout as data: what is written is what is read, and a changed log is noticed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifacts.gates import read_gate
from cli.rollout.document import decode, encode
from cli.rollout.errors import DocumentChanged
from tests.rollout.documents_of import document_of

ROLES = {"web-1": "web", "web-2": "web", "db-1": "db"}
facts = st.dictionaries(
    st.text(min_size=1).filter(lambda key: key not in ("at", "event", "digest", "self")),
    st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text()),
)


@given(st.lists(st.tuples(st.text(min_size=1), facts), max_size=8))
def test_what_is_written_is_what_is_read(events):
    gate = read_gate("errors", {"bad": "x*", "all": "x", "worse_by": 0.5})
    document = document_of(ROLES, before={"db-1": None}, gates={"web": (gate,)})
    for event, said in events:
        document = document.logged(1234.5678, event, **said)
    document = document.with_node("web-1", state="failed", error={"code": "E1402"})
    assert decode(encode(document)) == document


def _logged() -> dict:
    document = document_of(ROLES)
    for number, event in enumerate(("planned", "prefetch", "prefetch_done", "swap")):
        document = document.logged(1000 + number, event, nodes=["web-1"])
    return json.loads(encode(document))


def test_a_log_in_order_is_taken():
    assert len(decode(json.dumps(_logged()).encode()).log) == 4


@pytest.mark.parametrize(
    ("what", "tamper"),
    [
        ("a changed fact", lambda log: log[1].update(nodes=["web-2"])),
        ("a changed time", lambda log: log[1].update(at=1.0)),
        ("an added fact", lambda log: log[2].update(ok=True)),
        ("an entry taken out", lambda log: log.pop(1)),
        ("entries exchanged", lambda log: log.insert(1, log.pop(2))),
        ("an entry put in", lambda log: log.insert(1, dict(log[0]))),
        ("a digest taken off", lambda log: log[3].pop("digest")),
    ],
)
def test_a_changed_log_is_noticed(what, tamper):
    raw = _logged()
    tamper(raw["log"])
    with pytest.raises(DocumentChanged, match="R000001") as caught:
        decode(json.dumps(raw).encode())
    assert caught.value.exit_code == 8


def test_nodes_by_state_come_in_the_order_of_the_waves():
    document = document_of(ROLES)
    assert document.waves == (("db-1",), ("web-1",), ("web-2",))
    assert document.with_node("web-1", state="failed").in_state("planned") == ["db-1", "web-2"]
    assert [document.wave_of(node) for node in ROLES] == [2, 3, 1]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b"3", b"null", b"\xff"])
def test_a_damaged_document_is_no_fault_of_ours(body):
    with pytest.raises(DocumentChanged, match="can't be read"):
        decode(body)


@pytest.mark.parametrize(
    ("key", "value"),
    [("state", "runing"), ("ended_at", "noon"), ("log", [None]), ("log", ["x"]),
     ("nodes.state", "well"), ("nodes.swap", [1]), ("nodes.error", "bad")],
)  # fmt: skip
def test_a_document_that_a_hand_has_damaged_is_named(key, value):
    raw = json.loads(encode(document_of(ROLES)))
    of, _, fact = key.rpartition(".")
    (raw[of]["web-1"] if of else raw)[fact] = value
    with pytest.raises(DocumentChanged, match="the document of R000001 can't be read"):
        decode(json.dumps(raw).encode(), "R000001")
