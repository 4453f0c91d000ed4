"""A subject is erased: nothing of it is left in any pack, and all else is as it was."""

import dataclasses
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from eventstore import engines, packing
from eventstore.columnar import Coded
from eventstore.errors import EngineUnavailable, PackCorrupt
from eventstore.event import EventId, new_pack_id
from eventstore.packing import Share
from eventstore.ports import ERASED, DeadLetter, Depth, Packed, Stored, Way
from eventstore.processing import erase as erase_module
from eventstore.processing import processor as processor_module
from eventstore.processing import sidecar, view
from eventstore.processing.columns import Hashes
from eventstore.processing.erase import Looked, Request, Waits, erase
from eventstore.processing.erasing import held, rewritten
from eventstore.processing.processor import Processor
from eventstore.processing.standing import CLOCKS_MS
from eventstore.processing.subject import Sealed, Subject
from eventstore.query.ledger import read_ledger
from eventstore.query.read import Reader, events_of
from eventstore.settings import Settings
from eventstore.tools.dispatch import run_tool

HERE = Path(__file__).parent
NOW_MS = 1795530600_000
SUBJECT = Subject("user", "u-17")
THEIRS = b'{"id":"a","user":"u-17","type":"click","at":1795530601}'
OTHERS = b'{"id":"b","user":"u-18","type":"view","at":1795530602}'
Tool = Callable[..., tuple[int, Any]]


def packed(shares: list[Share], events: list[bytes], **more: Any) -> Packed:
    pack_id = new_pack_id()
    tags = {"endpoint": "/e", "source": "web"}
    body = packing.pack(pack_id, tags, shares, [b"\n".join(events)], None, **more)
    return Packed(pack_id, body, "/e", len(events))


class Engines:
    """The engines of one folder, with a processor."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(data=f"file://{folder}/data")
        self.file = folder / "settings.yaml"
        self.file.write_text(json.dumps({"data": self.settings.data}))
        self.queue = engines.open_queue(self.settings)
        self.store = engines.open_store(self.settings)
        aggregates = engines.open_aggregates(self.settings)
        self.reader = Reader(self.queue, self.store, aggregates, self.settings)

    def put(self, pack: Packed) -> Packed:
        self.queue.put([pack])
        return pack

    def process(self, **changed: Any) -> None:
        settings = dataclasses.replace(self.settings, **changed)
        processor = Processor(self.queue, self.store, settings)
        while processor.step():
            pass
        processor.close()

    def counted(self) -> Counter[Any]:
        return self.store.partials(NOW_MS // 60_000 * 60).counts

    def faults(self) -> list[Any]:
        return [fault for line in read_ledger(self.queue, self.store, 0) for fault in line.faults]

    def everything(self) -> bytes:
        """All that is kept of packs and dead letters, uncompressed."""
        kept = []
        for one in self.store.packs():
            pack = packing.unpack(one.body)
            kept += [pack.block, repr(pack).encode(), repr(sidecar.decode(one.sidecar)).encode()]
            kept += view.decode(one.view, pack.count)
        for letter in self.store.dead_letters():
            body = letter.body
            kept.append(letter.reason.encode())
            kept.append(body if letter.index is not None else repr(packing.unpack(body)).encode())
        return b"\n".join(kept)


@pytest.fixture(autouse=True)
def found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{HERE}:{HERE.parent.parent}")


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Engines]:
    opened = Engines(tmp_path)
    yield opened
    opened.reader.close()
    opened.queue.close()
    opened.store.close()


@pytest.fixture
def tool(at: Engines, capsys: pytest.CaptureFixture[str]) -> Tool:
    def run(*argv: str) -> tuple[int, Any]:
        name, *more = argv
        code = run_tool([name, "--settings", str(at.file), "--json", *more])
        return code, json.loads(capsys.readouterr().out)

    return run


ASKED = ("erase", "--field", "user", "--value", "u-17", "--request", "R-1", "--by", "dpo")


def fill(at: Engines) -> list[Packed]:
    """A pack with the subject's events among others; one without; one with its unreadable event
    and a client's retry; one that is dead as a whole."""
    mine = Share(2, NOW_MS, user_agent="of u-17", address="192.0.2.17", trace="u-17")
    packs = [
        at.put(packed([Share(1, NOW_MS), mine], [OTHERS, THEIRS, THEIRS.replace(b'"a"', b'"c"')])),
        at.put(packed([Share(1, NOW_MS)], [OTHERS.replace(b'"b"', b'"d"')])),
        at.put(packed([Share(3, NOW_MS)], [THEIRS, b'{"user":"u-17"', b'{"user":"u-171"'])),
    ]
    at.process()
    shares = [structs.replace(mine, events=1), Share(1, NOW_MS)]
    dead = at.put(packed(shares, [THEIRS.replace(b'"a"', b'"e"'), OTHERS.replace(b'"b"', b'"f"')]))
    leases = at.queue.claim(1, 60)
    letter = DeadLetter(dead.pack_id, None, "pack", "ValueError: u-17", dead.body)
    at.store.put_dead([letter], {dead.pack_id: Way("/e", 2)})
    at.queue.ack(leases)
    return [*packs, dead]


def test_nothing_is_left_of_a_subject_and_all_else_is_as_it_was(
    at: Engines, tool: Tool, tmp_path: Path
):
    first, _, odd, dead = fill(at)
    counted, ledger = at.counted(), at.store.ledger(0, recount=True)
    code, plan = tool(*ASKED)
    assert (code, plan["events_to_erase"], plan["packs_to_change"]) == (0, 5, 3)
    assert b"u-17" in at.everything()
    file = tmp_path / "certificate.json"
    code, said = tool(*ASKED, "--yes", "--certificate", str(file))
    assert code == 0
    assert json.loads(file.read_text()) == said
    assert "u-17" not in file.read_text()
    assert (said["by"], said["request"], said["field"]) == ("dpo", "R-1", "user")
    changed = {one["pack"]: (one["is"], one["events"]) for one in said["packs"]}
    assert changed == {
        str(first.pack_id): ("stored", [1, 2]),
        str(odd.pack_id): ("stored", [0, 1]),
        str(dead.pack_id): ("dead", [0]),
    }
    kept = at.everything()
    assert b"u-17" not in kept.replace(b"u-171", b"")
    assert b"192.0.2.17" not in kept
    assert [one.body for one in at.reader.events()] == [OTHERS, OTHERS.replace(b'"b"', b'"d"')]
    assert at.counted() == counted == at.reader.recounted()
    assert at.store.ledger(0, recount=True) == ledger
    assert at.faults() == []


def test_who_asks_for_an_erased_event_is_told_so(at: Engines, tool: Tool):
    first, *_ = fill(at)
    _, said = tool(*ASKED, "--yes")
    event_id = str(EventId(first.pack_id, 1))
    code, refused = tool("show", event_id)
    assert code == 1
    assert refused["error"]["reason"] == (
        f"{event_id} was erased: certificate {said['certificate']}"
    )
    _, trace = tool("trace", event_id)
    assert trace["state"] == "erased"
    assert trace["stages"][-1]["note"] == f"certificate {said['certificate']}"
    _, trace = tool("trace", str(EventId(first.pack_id, 0)))
    assert trace["state"] == "stored"
    assert [one for one, _ in at.reader.enveloped()] == list(at.reader.events())


def test_the_same_request_again_certifies_the_same_and_what_has_come_since(at: Engines, tool: Tool):
    fill(at)
    _, first = tool(*ASKED, "--yes")
    late = at.put(packed([Share(1, NOW_MS)], [THEIRS.replace(b'"a"', b'"z"')]))
    _, again = tool(*ASKED, "--yes")
    assert again["packs"] == first["packs"]
    assert again["waiting_packs"] == 1
    assert again["complete_before"] < again["at"] < again["stands_until"]
    at.process()  # which follows what stands
    assert b"u-17" not in at.everything().replace(b"u-171", b"")
    _, plan = tool(*ASKED)
    assert (plan["packs_to_change"], plan["events_to_erase"]) == (0, 0)
    _, last = tool(*ASKED, "--yes")
    assert (last["waiting_packs"], last["complete_before"]) == (0, last["at"])
    assert {one["pack"] for one in last["packs"]} == {
        *(one["pack"] for one in first["packs"]),
        str(late.pack_id),
    }


def test_what_comes_to_the_store_after_an_erasure_is_erased_before_it_is_acknowledged(
    at: Engines, tool: Tool, monkeypatch: pytest.MonkeyPatch
):
    """Also what can't be read, and what a processor could not end at first; not what was accepted
    later than the erasure."""
    tool(*ASKED, "--yes")
    shares = [Share(1, NOW_MS), Share(2, NOW_MS)]
    mine = at.put(packed(shares, [OTHERS, THEIRS, b'{"user":"u-17"']))
    later_ms = (mine.pack_id.int >> 80) + CLOCKS_MS + 60_000
    body = packing.unpack(packed([Share(1, NOW_MS)], [THEIRS.replace(b'"a"', b'"l"')]).body)
    later_id = UUID(int=later_ms << 80 | new_pack_id().int & (1 << 80) - 1)
    later = packing.repack(dataclasses.replace(body, id=later_id))
    at.put(Packed(later_id, later, "/e", 1))
    quick = dataclasses.replace(at.settings, attempts_max=1000, lease_s=0.1)
    processor = Processor(at.queue, at.store, quick)
    with monkeypatch.context() as patched:
        patched.setattr(at.store, "erase", lambda _: unavailable())
        with pytest.raises(EngineUnavailable, match="planted"):
            processor.step()
    assert at.queue.depth().packs == 2
    until_s = time.monotonic() + 60
    while at.queue.depth().packs:
        assert time.monotonic() < until_s
        processor.step()
    assert processor.erased.value() == 1
    assert b"u-17" not in at.everything().replace(THEIRS.replace(b'"a"', b'"l"'), b"")
    assert len(list(at.reader.events())) == 2  # the others', and the later one
    assert at.faults() == []
    code, said = tool(*ASKED)
    assert (code, said["events_to_erase"]) == (0, 1)


def test_a_pack_that_dies_after_an_erasure_is_erased_too(
    at: Engines, tool: Tool, monkeypatch: pytest.MonkeyPatch
):
    tool(*ASKED, "--yes")
    at.put(packed([Share(2, NOW_MS)], [OTHERS, THEIRS]))
    monkeypatch.setattr(processor_module, "transformed", lambda *_: 1 // 0)
    at.process(attempts_max=1)
    (letter,) = at.store.dead_letters()
    assert (letter.index, letter.stage) == (None, ERASED)
    assert b"u-17" not in at.everything()
    assert at.faults() == []


def unavailable() -> None:
    raise EngineUnavailable("planted")


def test_two_subjects_of_one_pack_have_a_certificate_each(at: Engines, tool: Tool):
    first, *_ = fill(at)
    _, one = tool(*ASKED, "--yes")
    _, other = tool(*(word.replace("u-17", "u-18") for word in ASKED), "--yes")
    assert one["certificate"] != other["certificate"]
    mine = next(entry for entry in other["packs"] if entry["pack"] == str(first.pack_id))
    assert mine["events"] == [0]
    before = next(entry for entry in one["packs"] if entry["pack"] == str(first.pack_id))
    assert mine["was_sha256"] == before["is_sha256"]
    assert list(at.reader.events()) == []
    assert at.counted() == at.reader.recounted()


def test_an_erasure_that_was_cut_short_is_ended_by_the_same_request(
    at: Engines, monkeypatch: pytest.MonkeyPatch, tool: Tool
):
    fill(at)
    done = at.store.erase
    monkeypatch.setattr(erase_module, "PACKS_AT_ONCE", 1)

    def cut(packs: Any) -> Any:
        monkeypatch.setattr(at.store, "erase", fail)
        return done(packs)

    def fail(_packs: Any) -> Any:
        raise EngineUnavailable("cut short")

    monkeypatch.setattr(at.store, "erase", cut)
    with pytest.raises(EngineUnavailable):
        list(erase(at.store, Request("R-1", "dpo", SUBJECT), 1, Looked()))
    assert b"u-17" in at.everything()
    _, said = tool(*ASKED, "--yes")
    assert [len(one["events"]) for one in said["packs"]] == [2, 2, 1]
    assert said["packs"][0]["erased_at"] == "1970-01-01T00:00:00.001Z"
    assert b"u-17" not in at.everything().replace(b"u-171", b"")


def test_a_pack_that_is_revived_meanwhile_is_erased_as_it_is_then(
    at: Engines, monkeypatch: pytest.MonkeyPatch
):
    fill(at)
    done, calls = at.store.erase, 0

    def late(packs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 1:
            return done(packs)
        was = packs[0].was
        stale = dataclasses.replace(packs[0], was=dataclasses.replace(was, hidden=frozenset([9])))
        return done([stale, *packs[1:]])

    monkeypatch.setattr(at.store, "erase", late)
    entries = list(erase(at.store, Request("R-1", "dpo", SUBJECT), 1, Looked()))
    assert calls == 2
    assert len(entries) == 3
    assert b"u-17" not in at.everything().replace(b"u-171", b"")


def test_what_is_replayed_beside_erased_events_changes_nothing_of_them(at: Engines, tool: Tool):
    """Neither dead letters of an erased pack, nor a whole dead pack, bring anything back."""
    bad = OTHERS.replace(b'"b"', b'"g","bad":1')
    pack = at.put(packed([Share(3, NOW_MS)], [THEIRS, bad, THEIRS.replace(b"}", b',"bad":1}')]))
    at.process(transforms=("transforms_of_tests:strict",))
    *_, dead = fill(at)
    _, said = tool(*ASKED, "--yes")
    assert len(said["packs"]) == 4
    counted = at.counted()
    for letter in list(at.store.dead_letters()):
        if letter.index is None or letter.pack_id == pack.pack_id:
            tool("dead", "replay", "--fingerprint", letter.fingerprint)
    at.process()
    assert {one.index for one in at.store.dead_letters() if one.stage == ERASED} == {0, 1, 2}
    seen = [one.body for one in at.reader.events()]
    assert bad in seen
    assert not any(b"u-17" in one for one in seen)
    assert at.store.get(dead.pack_id) is not None
    assert sum((at.counted() - counted).values()) == 2  # `bad`, and the other event of `dead`
    assert at.counted() == at.reader.recounted()
    assert at.faults() == []


def test_what_cannot_be_read_is_told(at: Engines, tool: Tool):
    letter = DeadLetter(new_pack_id(), None, "pack", "poison", b"\x00u-17")
    at.store.put_dead([letter], {letter.pack_id: Way("/e", 1)})
    code, said = tool(*ASKED, "--yes")
    assert code == 1
    assert said["unread"] == [str(letter.pack_id)]


def test_a_queue_that_remembers_nothing_does_not_say_until_when():
    class Forgetful:
        def depth(self) -> Depth:
            return Depth(3, None, 1)

        def ledger(self, _since: int, *, recount: bool) -> None:
            assert recount

    waits = Waits.of(Forgetful(), NOW_MS)  # type: ignore[arg-type]
    assert waits.to_json() == {"waiting_packs": 3, "complete_before": None}


def test_a_request_without_a_value_is_refused(at: Engines, capsys: pytest.CaptureFixture[str]):
    asked = [word.replace("u-17", "") for word in ASKED]
    assert run_tool([*asked, "--settings", str(at.file)]) == 2
    assert "--value: expected 1 to 512" in capsys.readouterr().err


def test_what_people_read_says_how_far_it_goes(at: Engines, capsys: pytest.CaptureFixture[str]):
    fill(at)
    at.put(packed([Share(1, NOW_MS)], [OTHERS]))
    assert run_tool([*ASKED, "--settings", str(at.file)]) == 0
    assert "would erase 5 events of 3 packs, of 4 looked at (--yes)" in capsys.readouterr().out
    assert run_tool([*ASKED, "--settings", str(at.file), "--yes"]) == 0
    out = capsys.readouterr().out
    assert "5 events of 3 packs are erased" in out
    assert "1 packs wait in the queue; ask again" in out
    assert "it stands until 20" in out


@pytest.mark.parametrize(
    ("field", "value", "event", "theirs"),
    [
        ("user", "u-17", b'{"user":"u-17"}', True),
        ("user", "u-17", b'{"user":"u-171"}', False),
        ("user", "17", b'{"user":17}', True),
        ("user", "True", b'{"user":true}', False),
        ("context.id", "x", b'{"context":{"id":"x"}}', True),
        ("context.id", "x", b'{"context.id":"x"}', True),
        ("list.id", "x", b'{"list":[{"id":"y"},{"id":["z","x"]}]}', True),
        ("list.id", "x", b'{"list":[{"id":"y"},{"no":"x"}]}', False),
        ("address", "192.0.2.1", b"{}", True),
        ("address", "192.0.2.1", b'{"ip":"192.0.2.2"}', False),
        ("user", "\u00e9", b'{"user":"\\u00e9"}', True),
        ("user", "u-17", b'not json: "u-17"', True),
        ("user", "u-17", b"not json: u-17-b", False),
    ],
)
def test_whose_an_event_is(field: str, value: str, event: bytes, theirs: bool):
    pack = packing.unpack(packed([Share(1, NOW_MS, address="192.0.2.1")], [event]).body)
    subject = Subject(field, value)
    assert subject.events_of(pack, [b""]) == ({0} if theirs else set())
    sealed = Sealed.of(subject, "salt")
    assert sealed.events_of(pack, [b""]) == subject.events_of(pack, [b""])


def test_what_a_transform_has_made_of_an_event_is_its_subjects():
    pack = packing.unpack(packed([Share(3, NOW_MS)], [b"{}", b"{}", b"{}"]).body)
    seen = [b'+"user":"u-17"}', b'[{"user":"x"},{"user":"u-17"}]', b'{"user":"x"}']
    assert SUBJECT.events_of(pack, seen) == {0, 1}


def test_a_format_that_is_not_known_is_not_looked_into():
    pack = packed([Share(1, NOW_MS)], [b"{}"], format_name="of tomorrow")
    with pytest.raises(PackCorrupt, match="of tomorrow"):
        held(DeadLetter(pack.pack_id, None, "pack", "no", pack.body), SUBJECT, "c")


@given(st.data())
def test_the_others_stay_as_they_were_whatever_is_erased(data: st.DataObject):
    sizes = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    theirs = data.draw(st.sets(st.integers(0, sum(sizes) - 1), min_size=1))
    shares = [
        Share(size, NOW_MS + n, NOW_MS, f"agent {n}", "192.0.2.1", "t", b"c%d" % (n // 2))
        for n, size in enumerate(sizes)
    ]
    events = [
        b'{"n":%d,"user":"%s"}' % (n, b"u-17" if n in theirs else b"x") for n in range(sum(sizes))
    ]
    made = packed(shares, events, refused=dict.fromkeys(range(0, len(events), 3), "no"))
    was = packing.unpack(made.body)
    columns = {
        "time_ms": np.arange(was.count) + NOW_MS,
        "name": Coded(["n"], np.zeros(was.count, dtype=np.uint32)),
        "who": Coded([str(n) for n in range(was.count)], np.arange(was.count, dtype=np.uint32)),
        "hash": Hashes(np.arange(was.count, dtype=np.uint64) + 1),
        "number": np.arange(was.count) + 7,
    }
    lines = [
        [b"", b"null", b"[{},{}]", b'{"made":1}', b'+,"more":1}'][n % 5] for n in range(was.count)
    ]
    stored = Stored(
        1, made.pack_id, made.body, sidecar.encode(columns), view.encode(lines), frozenset()
    )
    one = held(stored, SUBJECT, "c")
    assert one is not None
    assert one.events == theirs
    left = rewritten(one, "c", 1)
    now = packing.unpack(left.body)
    before, after = list(was.per_event()), list(now.per_event())
    kept, found = sidecar.decode(left.sidecar), sidecar.decode(stored.sidecar)
    seen = view.decode(left.view, now.count)
    for n in range(was.count):
        (event, share), row = after[n], {name: kept[name][n] for name in kept}
        if n in theirs:
            assert event == b""
            assert share == Share(share.events, before[n][1].received_at_ms)
            assert row == {"time_ms": NOW_MS + n, "name": "n", "who": "", "hash": "", "number": 0}
            assert seen[n] in (b"", b"null", b"[{},{}]")
        else:
            assert event == before[n][0]
            assert (share.context, share.user_agent) == (
                before[n][1].context,
                before[n][1].user_agent,
            )
            assert row == {name: found[name][n] for name in found}
            assert seen[n] == lines[n]
    assert view.times(seen) == view.times(lines)
    assert now.refused == {n: why for n, why in was.refused.items() if n not in theirs}
    again = held(
        dataclasses.replace(stored, body=left.body, sidecar=left.sidecar, view=left.view),
        SUBJECT,
        "c",
    )
    assert again is not None
    assert rewritten(again, "c", 2).body == left.body
    assert len(list(events_of(stored))) == was.count
