"""A fleet's history: what is written down, and that nothing done to it afterwards stays hidden."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artifacts.objects import Object, open_objects
from cli.history.entry import Entry, Head, Who, decode, encode, who_is_here
from cli.history.log import History, Witness, key_of
from cli.history.verify import Told, verify

WHO = Who("ada", "master", "10.0.0.7")
ENTRIES = 6


class Kept:
    """A history in a folder, with a witness in another."""

    def __init__(self, root: Path, entries: int = ENTRIES) -> None:
        self.folder = root / "documents/history"
        self.elsewhere = root / "registry"
        for folder in (self.folder, self.elsewhere):
            folder.mkdir(parents=True)
        self.objects = open_objects(f"file://{root}/documents")
        self.witness = Witness("the registry", open_objects(f"file://{self.elsewhere}"), "prod")
        self.history = History(self.objects, lambda: [self.witness])
        for number in range(1, entries + 1):
            self.add(number)

    def add(self, number: int) -> Head:
        what = {"id": f"R{number:06d}", "state": "running"}
        head = self.history.add("rollout", what, who=WHO, why="because", at=1000.0 + number)
        self.history.witness()
        return head

    def file(self, number: int) -> Path:
        return self.folder / f"{number:08d}.json"

    def read(self, number: int) -> Entry:
        return decode(self.file(number).read_bytes())[0]

    def write(self, number: int, entry: Entry) -> None:
        self.file(number).write_bytes(encode(entry))

    def faults(self, rollouts=None, heads=()) -> tuple[str, ...]:
        return verify(self.history, rollouts or {}, heads).faults


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> dict[int, bytes]:
    """The bodies of a whole log, with nothing on the disk to wait for."""
    kept = Kept(tmp_path_factory.mktemp("history"))
    return {number: kept.file(number).read_bytes() for number in range(1, ENTRIES + 1)}


class InMemory:
    """As much of an object store as reading a log takes."""

    url = "memory:"

    def __init__(self, bodies: dict[int, bytes]) -> None:
        self._bodies = {key_of(number): body for number, body in bodies.items()}

    def list(self, prefix: str) -> list[str]:
        return sorted(self._bodies)

    def get(self, key: str) -> Object:
        return Object(self._bodies[key], "")


def _faults_of(written: dict[int, bytes], bodies: dict[int, bytes]) -> tuple[str, ...]:
    """By someone who has written down the head of the whole log."""
    head = Head(ENTRIES, decode(written[ENTRIES])[0].digest())
    return verify(History(InMemory(bodies)), {}, [head]).faults


def test_what_was_written_is_whole(kept):
    verdict = verify(kept.history, {"R000003": Told(1003.0)}, [])
    assert verdict.faults == ()
    assert verdict.head == kept.history.head()
    assert verdict.head.number == ENTRIES
    assert kept.read(3).before == kept.read(2).digest()
    assert [entry.number for entry in kept.history.last(2)] == [6, 5]


def test_an_empty_one_is_whole(tmp_path):
    assert Kept(tmp_path, entries=0).faults({"R000001": Told(1.0)}) == ()


def test_many_write_at_the_same_time(tmp_path):
    kept = Kept(tmp_path, entries=0)
    writers = [threading.Thread(target=kept.add, args=(number,)) for number in range(1, 9)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert kept.faults() == ()
    assert kept.history.head().number == 8
    assert {e.what["id"] for e in kept.history.last(8)} == {f"R{n:06d}" for n in range(1, 9)}


# Edits


@pytest.mark.parametrize("number", range(1, ENTRIES + 1))
@pytest.mark.parametrize(
    "change",
    [{"why": "another"}, {"at": 1.0}, {"event": "lock"}, {"what": {}}, {"before": "0"},
     {"who": Who("eve", "master", "10.0.0.7")}],
)  # fmt: skip
def test_an_edit_is_found(kept, number, change):
    edited = replace(kept.read(number), **change)
    raw = asdict(edited) | {"digest": kept.read(number).digest()}
    kept.file(number).write_text(json.dumps(raw))
    assert any(f"entry {number} was edited" in fault for fault in kept.faults())


@pytest.mark.parametrize("key", ["number", "at", "event", "what", "who", "why", "before", "digest"])
@pytest.mark.parametrize("value", [None, [1], {"x": 1}, "yesterday", 7, -1e300])
def test_an_edit_that_leaves_no_entry_is_found_and_named(kept, key, value):
    """By a hand that mistypes, too: `history verify` says which, and the others are still shown."""
    raw = json.loads(kept.file(3).read_text())
    kept.file(3).write_text(json.dumps(raw | {key: value}))
    assert any("entry 3" in fault for fault in kept.faults())
    for entry in kept.history.last(ENTRIES):
        shown = f"{entry.number:6} {entry.event:8} {time.localtime(entry.at).tm_year} {entry.why}"
        assert str(entry.number) in shown


@pytest.mark.parametrize("number", range(1, ENTRIES + 1))
def test_an_edit_with_a_new_digest_is_found(kept, number):
    kept.write(number, replace(kept.read(number), why="another"))
    assert kept.faults()


@pytest.mark.parametrize("number", range(1, ENTRIES + 1))
def test_an_edit_with_all_later_ones_chained_anew_is_found(kept, number):
    kept.write(number, replace(kept.read(number), why="another"))
    for later in range(number + 1, ENTRIES + 1):
        kept.write(later, replace(kept.read(later), before=kept.read(later - 1).digest()))
    (fault,) = kept.faults()
    assert "was replaced: the registry has seen 6:" in fault


@settings(max_examples=200, deadline=None)
@given(number=st.integers(1, ENTRIES), at=st.integers(0, 10_000), byte=st.integers(1, 255))
def test_any_byte_that_changes_meaning_is_found(written, number, at, byte):
    body = bytearray(written[number])
    body[at % len(body)] ^= byte
    try:
        same = json.loads(body) == json.loads(written[number])
    except ValueError:
        same = False
    assert same or _faults_of(written, {**written, number: bytes(body)})


# Cuts


@pytest.mark.parametrize("number", range(1, ENTRIES))
def test_an_entry_that_is_taken_out_is_found(kept, number):
    kept.file(number).unlink()
    assert any(f"entry {number} is missing" in fault for fault in kept.faults())


@pytest.mark.parametrize("number", range(2, ENTRIES + 1))
def test_the_others_moved_up_is_found(kept, number):
    kept.file(number - 1).unlink()
    for later in range(number, ENTRIES + 1):
        kept.file(later).rename(kept.file(later - 1))
    assert kept.faults()


@pytest.mark.parametrize("left", range(ENTRIES))
def test_a_cut_of_the_tail_is_found(kept, left):
    for number in range(left + 1, ENTRIES + 1):
        kept.file(number).unlink()
    faults = kept.faults()
    assert any("cut off: the registry has seen 6:" in fault for fault in faults)


@pytest.mark.parametrize("left", range(1, ENTRIES))
def test_a_cut_of_the_tail_is_found_after_more_was_written(kept, left):
    """The witness contradicts the log, and is not made to agree with it."""
    for number in range(left + 1, ENTRIES + 1):
        kept.file(number).unlink()
    for number in range(100, 100 + ENTRIES):
        kept.add(number)
    assert any("was replaced: the registry has seen 6:" in fault for fault in kept.faults())


def test_a_cut_of_the_tail_without_a_witness_is_found_by_the_rollouts_that_there_are(kept):
    shutil.rmtree(kept.elsewhere)
    kept.file(ENTRIES).unlink()
    verdict = verify(
        kept.history, {f"R{n:06d}": Told(1000.0 + n) for n in range(1, ENTRIES + 1)}, []
    )
    assert verdict.faults == (
        "nothing is told of R000006: its entry was cut off, or never written",
    )
    assert len(verdict.unasked) == 1


def test_a_cut_of_the_tail_is_found_by_what_was_written_down(kept):
    shutil.rmtree(kept.elsewhere)
    head = kept.history.head()
    short = Head(head.number, head.digest[:16])
    assert kept.faults(heads=[short]) == ()
    kept.file(ENTRIES).unlink()
    (fault,) = kept.faults(heads=[short])
    assert "cut off: what was written down has seen" in fault


def test_all_of_it_gone_is_found(kept):
    shutil.rmtree(kept.folder)
    assert kept.faults() == (f"entries 1 to 6 are cut off: the registry has seen "
                             f"{kept.witness.seen()[0]}",)  # fmt: skip


# Order


@settings(max_examples=100, deadline=None)
@given(order=st.permutations(range(1, ENTRIES + 1)))
def test_another_order_is_found(written, order):
    moved = {place: written[number] for place, number in enumerate(order, 1)}
    assert bool(_faults_of(written, moved)) is (list(order) != sorted(order))


def test_another_order_with_numbers_and_digests_to_fit_is_found(kept):
    third, fourth = kept.read(3), kept.read(4)
    kept.write(3, replace(fourth, number=3, before=third.before))
    kept.write(4, replace(third, number=4, before=kept.read(3).digest()))
    for later in range(5, ENTRIES + 1):
        kept.write(later, replace(kept.read(later), before=kept.read(later - 1).digest()))
    assert kept.faults()


def test_an_entry_of_another_place_is_found(kept):
    shutil.copy(kept.file(2), kept.file(ENTRIES + 1))
    assert kept.faults()


# What goes wrong otherwise


def test_a_damaged_end_keeps_nobody_from_writing_and_stays_a_fault(kept):
    kept.file(ENTRIES).write_bytes(b"{")
    kept.add(7)
    kept.add(8)
    assert any("entry 6 can't be read" in fault for fault in kept.faults())


def test_a_witness_that_was_away_catches_up(kept):
    kept.elsewhere.rename(kept.elsewhere.with_name("away"))
    kept.add(7)
    verdict = verify(kept.history, {}, [])
    assert verdict.faults == ()
    assert "the registry" in verdict.unasked[0]
    kept.elsewhere.with_name("away").rename(kept.elsewhere)
    assert kept.witness.seen()[0].number == ENTRIES
    kept.add(8)
    assert kept.witness.seen()[0] == kept.history.head()
    assert kept.faults() == ()


def test_a_damaged_witness_is_a_fault(kept):
    (kept.elsewhere / "history/prod.json").write_text("nonsense")
    assert kept.faults()
    kept.add(7)
    assert kept.faults(), "and stays as it is"


def test_the_digest_is_what_it_was_in_earlier_versions():
    """A log outlives the version of evctl that wrote it."""
    entry = Entry(1, 1000.5, "key", {"a": 1}, WHO, "why", "")
    said = (
        '{"at":1000.5,"before":"","event":"key","number":1,"what":{"a":1},'
        '"who":{"came_from":"10.0.0.7","host":"master","user":"ada"},"why":"why"}'
    )
    assert entry.digest() == hashlib.sha256(said.encode()).hexdigest()
    assert key_of(1) == "history/00000001.json"


@pytest.mark.parametrize(
    ("environment", "user", "came_from"),
    [
        ({"SSH_CONNECTION": "10.0.0.7 5022 10.0.0.1 22", "SUDO_USER": "ada"}, "ada", "10.0.0.7"),
        ({}, None, None),
    ],
)
def test_who(environment, user, came_from):
    who = who_is_here(environment)
    assert who.user == user or (user is None and who.user)
    assert who.came_from == (came_from or who.came_from)
    assert who.host
