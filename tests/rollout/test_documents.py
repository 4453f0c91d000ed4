"""Rollouts, locks and desired releases in a real folder, written by several at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from artifacts.objects import open_objects
from cli.rollout.document import FINAL, Document
from cli.rollout.documents import Desired, Documents
from cli.rollout.errors import DocumentChanged, NodesLocked, UnknownRollout, WrongState
from tests.rollout.documents_of import NEW, OLD, document_of

ROLES = {"web-1": "web", "web-2": "web"}


@pytest.fixture
def documents(tmp_path: Path) -> Documents:
    (tmp_path / "documents").mkdir()
    return Documents(open_objects(f"file://{tmp_path}/documents"))


def _file(documents: Documents, key: str) -> Path:
    return Path(documents._objects.url.removeprefix("file://")) / key


def _make(rollout_id: str) -> Document:
    return document_of(ROLES, rollout_id=rollout_id)


def test_ids_count_up(documents):
    assert [documents.create(_make).document.id for _ in range(3)] == documents.ids()
    assert documents.ids() == ["R000001", "R000002", "R000003"]


def test_many_at_once_get_different_ids(documents):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: documents.create(_make).document.id, range(16)))
    assert sorted(made) == [f"R{number:06d}" for number in range(1, 17)]


def test_what_is_kept_is_loaded(documents):
    kept = documents.create(_make)
    assert documents.load("R000001") == kept


def test_an_unknown_rollout_is_named_with_the_last_one(documents):
    with pytest.raises(UnknownRollout, match="R000009") as none:
        documents.load("R000009")
    assert "none at all" in none.value.why
    documents.create(_make)
    with pytest.raises(UnknownRollout) as another:
        documents.load("R000009")
    assert "R000001" in another.value.why


@pytest.mark.parametrize("given", ["../locks", "", "R1/../../x", "x" * 300, "R\x00"])
def test_what_cannot_be_an_id_is_an_unknown_rollout(documents, given):
    with pytest.raises(UnknownRollout):
        documents.load(given)


def test_what_two_change_at_once_is_merged(documents):
    mine = documents.create(_make)
    theirs = documents.load("R000001")
    documents.change(theirs, lambda document: replace(document, state="paused"))
    documents.change(mine, lambda document: replace(document, note="mine"))
    merged = documents.load("R000001").document
    assert (merged.state, merged.note) == ("paused", "mine")


def test_a_change_that_is_refused_leaves_it_as_it_is(documents):
    kept = documents.create(_make)

    def refuse(_document: Document) -> Document:
        raise WrongState("no")

    with pytest.raises(WrongState):
        documents.change(kept, refuse)
    assert documents.load("R000001") == kept


def test_a_changed_document_can_be_changed_again(documents):
    kept = documents.create(_make)
    for number in range(3):
        kept = documents.change(kept, lambda document, at=number: document.logged(at, "swap"))
    assert len(documents.load("R000001").document.log) == 3


def test_a_held_lock_names_its_holder(documents):
    documents.lock(["web-1", "web-2"], "R000001", now=100, lease_s=60)
    with pytest.raises(NodesLocked, match="web-2 is locked by R000001") as caught:
        documents.lock(["db-1", "web-2"], "R000002", now=101, lease_s=60)
    assert caught.value.exit_code == 8
    assert documents.holder("web-2", 101) == "R000001"
    assert documents.holder("db-1", 101) is None, "all of them or none"


def test_a_lock_expires(documents):
    documents.lock(["web-1"], "R000001", now=100, lease_s=60)
    assert documents.holder("web-1", 159) == "R000001"
    assert documents.holder("web-1", 160) is None
    documents.lock(["web-1"], "R000002", now=160, lease_s=60)
    assert documents.holder("web-1", 161) == "R000002"


def test_a_renewed_lock_holds_on(documents):
    documents.lock(["web-1"], "R000001", now=100, lease_s=60)
    documents.lock(["web-1"], "R000001", now=150, lease_s=60)
    with pytest.raises(NodesLocked):
        documents.lock(["web-1"], "R000002", now=200, lease_s=60)


def test_unlocking_releases_a_rollouts_own_locks_only(documents):
    documents.lock(["web-1"], "R000001", now=100, lease_s=60)
    documents.lock(["web-2"], "R000002", now=100, lease_s=60)
    documents.unlock("R000001")
    assert documents.holder("web-1", 101) is None
    assert documents.holder("web-2", 101) == "R000002"


def test_of_many_who_lock_at_once_one_gets_it(documents):
    def take(number: int) -> bool:
        try:
            documents.lock(["web-1", "web-2"], f"R{number:06d}", now=100, lease_s=60)
        except NodesLocked:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take, range(8))) == 1


def test_nodes_of_a_rollout_without_a_driver_stay_its_own_until_it_has_ended(documents):
    kept = documents.create(_make)
    documents.lock(["web-1"], "R000001", now=100, lease_s=60, driver="one")
    documents.leave("R000001", "one")
    assert documents.holder("web-1", 101) is None, "nobody is at work on it"
    with pytest.raises(NodesLocked, match="R000001") as caught:
        documents.lock(["web-1"], "R000002", now=200, lease_s=60)
    assert "nobody drives it" in caught.value.why
    assert "evctl rollout resume R000001" in caught.value.next_step
    documents.lock(["web-1"], "R000001", now=200, lease_s=0, driver="two")
    documents.change(kept, lambda document: replace(document, state="aborted"))
    documents.lock(["web-1"], "R000002", now=201, lease_s=60)


def test_of_two_drivers_of_one_rollout_the_second_is_refused_while_the_first_lives(documents):
    documents.lock(["web-1"], "R000001", now=100, lease_s=60, driver="one")
    with pytest.raises(NodesLocked, match="R000001"):
        documents.lock(["web-1"], "R000001", now=159, lease_s=60, driver="two")
    documents.lock(["web-1"], "R000001", now=161, lease_s=60, driver="two")
    with pytest.raises(NodesLocked):
        documents.lock(["web-1"], "R000001", now=162, lease_s=60, driver="one")
    documents.leave("R000001", "one")
    assert documents.holder("web-1", 163) == "R000001", "it isn't the first one's any more"


def test_what_is_spoken_for_is_what_rollouts_name_that_have_not_ended(documents):
    assert documents.spoken_for() == set()
    for state in FINAL:
        kept = documents.create(_make)
        documents.change(kept, lambda document, end=state: replace(document, state=end))
    assert documents.spoken_for() == set()
    kept = documents.create(_make)
    assert documents.spoken_for() == {OLD, NEW}
    new_node = replace(kept.document.nodes["web-1"], before=None)
    changed = replace(kept.document, state="rolling_back", nodes={"web-1": new_node}).planned()
    documents.change(kept, lambda _: changed)
    assert documents.spoken_for() == {NEW}


def test_what_is_wanted_is_merged(documents):
    assert documents.desired() == Desired({}, {})
    documents.want({"web-1": "1.0", "web-2": "1.0"})
    documents.want({"web-2": "2.0", "db-1": "2.0"})
    documents.want({"web-1": None, "never-seen": None})
    assert documents.desired() == Desired({"web-2": "2.0", "db-1": "2.0"}, {})


def test_many_who_want_at_once_lose_nothing(documents):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: documents.want({f"web-{n}": "1.0"}), range(16)))
    assert documents.desired().nodes == {f"web-{n}": "1.0" for n in range(16)}


def test_a_nodes_own_release_comes_before_its_roles():
    desired = Desired(nodes={"web-1": "2.0"}, roles={"web": "1.0"})
    assert desired.release_for("web-1", "web") == "2.0"
    assert desired.release_for("web-2", "web") == "1.0"
    assert desired.release_for("db-1", "db") is None


@pytest.mark.parametrize(
    "left",
    ["R000001.json.bak", "R000001.json~", "R000001 (1).json", "notes.txt", "old/R000007.json"],
)
def test_a_copy_that_someone_has_left_is_no_rollout(documents, left):
    documents.create(_make)
    copy = _file(documents, f"rollouts/{left}")
    copy.parent.mkdir(exist_ok=True)
    copy.write_text("{}")
    assert documents.ids() == ["R000001"]
    assert documents.create(_make).document.id == "R000002"


def test_a_document_that_lies_under_another_id_is_named(documents):
    documents.create(_make)
    _file(documents, "rollouts/R000002.json").write_bytes(
        _file(documents, "rollouts/R000001.json").read_bytes()
    )
    with pytest.raises(DocumentChanged, match="the document of R000002 can't be read") as moved:
        documents.load("R000002")
    assert "it is that of R000001" in moved.value.why


def test_who_is_refused_by_what_is_no_rollout_is_sent_to_none(documents):
    documents.lock(["web-1"], "mend-1f2e3d4c", 1000.0, 600.0)
    rollout = documents.create(_make).document
    with pytest.raises(NodesLocked, match="web-1 is locked by mend-1f2e3d4c") as refused:
        documents.lock(rollout.nodes, rollout.id, 1000.0, 60.0, "me")
    assert refused.value.next_step == "wait for its end; try again"


@pytest.mark.parametrize(
    ("key", "body"),
    [
        ("locks.json", '{"web-1": {}}'),
        ("locks.json", '{"web-1": {"rollout": "R000001", "expires_at": "soon"}}'),
        ("holds.json", '{"web-1": {"reason": "disks", "at": 1}}'),
        ("holds.json", '{"web-1": {"operator": "ada", "reason": "disks", "at": [1]}}'),
        ("desired.json", '{"nodes": {"web-1": 7}}'),
        ("desired.json", '{"roles": []}'),
        ("desired.json", "[" * 100_000),
    ],
)
def test_what_a_hand_has_damaged_is_named_and_is_no_fault_of_ours(documents, key, body):
    _file(documents, key).write_text(body)
    ask = {"locks.json": documents.holders, "holds.json": lambda _: documents.holds()}
    with pytest.raises(DocumentChanged, match=f"{key} can't be read"):
        ask.get(key, lambda _: documents.desired())(1000.0)
