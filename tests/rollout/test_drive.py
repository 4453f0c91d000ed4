"""Rollouts carried out over a fake fleet, with real documents in a folder."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from artifacts.gates import read_gate
from artifacts.objects import StoreUnreachable, open_objects
from cli.rollout import ask as asking
from cli.rollout import control
from cli.rollout import drive as driving
from cli.rollout.ask import _until_next_look
from cli.rollout.document import Document
from cli.rollout.documents import Documents
from cli.rollout.drive import drive, start
from cli.rollout.errors import DocumentChanged, NodesLocked
from cli.salt_client import SILENT, MasterUnreachable
from tests.rollout.documents_of import NEW, OLD, document_of
from tests.rollout.fake_fleet import DIED, FakeFleet

ROLES = {"web-1": "web", "web-2": "web", "web-3": "web", "web-4": "web"}
CONVERGE, ACTIVATE = "evrelease.converge", "evrelease.activate"
STATUS, PREFETCH, PRUNE = "evrelease.status", "evrelease.prefetch", "evrelease.prune"


@pytest.fixture
def documents(tmp_path: Path) -> Documents:
    (tmp_path / "documents").mkdir()
    return Documents(open_objects(f"file://{tmp_path}/documents"))


def _roll_out(documents: Documents, fleet: FakeFleet, **more) -> Document:
    return _drive_new(documents, fleet, ROLES, **more)


def _drive_new(documents: Documents, fleet: FakeFleet, roles: dict[str, str], **more) -> Document:
    rollout = start(
        documents,
        lambda rollout_id: document_of(roles, rollout_id=rollout_id, **more),
        time.time,
    )
    return drive(documents, fleet, rollout.id, lambda *_: None)


def _is_unlocked(documents: Documents) -> bool:
    return not any(documents.holder(node, time.time()) for node in ROLES)


def test_a_good_rollout_converges(documents):
    fleet = FakeFleet.of(ROLES)
    ended = _roll_out(documents, fleet)
    assert ended.state == "converged"
    assert set(fleet.serving.values()) == {NEW}
    assert documents.load("R000001").document == ended
    assert ended.ended_at is not None
    assert documents.desired().nodes == dict.fromkeys(ROLES, NEW)
    assert _is_unlocked(documents)


def test_one_that_has_converged_has_whatever_becomes_of_its_locks(documents, monkeypatch):
    """A disk that fills up last: they end by themselves."""

    def full(_: str) -> None:
        raise StoreUnreachable("no room")

    monkeypatch.setattr(documents, "unlock", full)
    assert _roll_out(documents, FakeFleet.of(ROLES)).state == "converged"


def test_all_nodes_fetch_before_any_swaps(documents):
    fleet = FakeFleet.of(ROLES)
    _roll_out(documents, fleet)
    functions = [function for _, function, _ in fleet.asked]
    assert functions[:4] == [PREFETCH] * 4
    assert PREFETCH not in functions[4:]


def test_a_release_that_dies_at_start_ends_at_its_canary(documents):
    fleet = FakeFleet.of(ROLES, fails={("web-1", CONVERGE): DIED})
    ended = _roll_out(documents, fleet)
    assert ended.state == "rolled_back"
    assert fleet.swapped() == ["web-1"]
    assert set(fleet.serving.values()) == {OLD}
    assert ended.nodes["web-1"].error == DIED
    assert documents.desired().nodes == {"web-1": OLD}
    assert _is_unlocked(documents)


def test_a_node_that_cannot_fetch_stops_it_before_any_swap(documents):
    fleet = FakeFleet.of(ROLES, fails={("web-3", PREFETCH): {"code": "E1301", "what": "disk full"}})
    assert _roll_out(documents, fleet).state == "rolled_back"
    assert not fleet.swapped()
    assert documents.desired().nodes == {"web-3": OLD}


def test_a_node_that_fails_its_gate_goes_back_and_so_do_all_before_it(documents):
    def sicken(node: str, function: str, _: str | None) -> None:
        if node == "web-2":
            fleet.sick = {"web-2"} if function == CONVERGE else fleet.sick

    fleet = FakeFleet.of(ROLES, before_each=sicken)
    ended = _roll_out(documents, fleet)
    assert ended.state == "rolled_back"
    assert set(fleet.serving.values()) == {OLD}
    assert ended.nodes["web-2"].error["what"] == f"does not serve {NEW} after its swap"
    assert {n: r.state for n, r in ended.nodes.items()} == {
        "web-1": "reverted",
        "web-2": "reverted",
        "web-3": "reverted",
        "web-4": "prefetched",
    }
    assert set(documents.desired().nodes.values()) == {OLD}


def test_a_node_that_serves_it_and_is_not_ready_has_not_passed_its_gate(documents, monkeypatch):
    monkeypatch.setattr(asking, "UNREADY_S", 0.1)
    ended = _roll_out(documents, FakeFleet.of(ROLES, unready={"web-2": 1000}))
    assert ended.state == "rolled_back"
    assert ended.nodes["web-2"].error["what"] == f"serves {NEW}, and is not ready"


def test_a_node_that_is_not_ready_for_a_moment_is_looked_at_again(documents):
    ended = _roll_out(documents, FakeFleet.of(ROLES, unready={"web-2": 1}))
    assert ended.state == "converged"


def test_a_silent_node_leaves_it_partial_and_what_it_should_run_is_what_it_served(documents):
    fleet = FakeFleet.of(ROLES, fails={("web-1", CONVERGE): SILENT, ("web-1", ACTIVATE): SILENT})
    ended = _roll_out(documents, fleet)
    assert ended.state == "partial"
    assert ended.nodes["web-1"].state == "silent"
    assert fleet.swapped() == ["web-1"]
    assert documents.desired().nodes == {"web-1": OLD}


def test_a_node_that_cannot_go_back_makes_it_fail(documents):
    fleet = FakeFleet.of(ROLES, fails={("web-1", ACTIVATE): DIED, ("web-2", CONVERGE): DIED})
    ended = _roll_out(documents, fleet)
    assert ended.state == "failed"
    assert ended.nodes["web-1"].state == "stuck"


def test_what_a_node_should_run_is_written_down_before_it_is_asked(documents):
    wanted = []

    def look(node: str, function: str, release: str | None) -> None:
        if function in (CONVERGE, ACTIVATE):
            wanted.append(documents.desired().nodes[node] == release)

    fleet = FakeFleet.of(ROLES, fails={("web-3", CONVERGE): DIED}, before_each=look)
    _roll_out(documents, fleet)
    assert wanted
    assert all(wanted)


def test_a_new_node_that_refused_is_left_to_its_channel(documents):
    fleet = FakeFleet.of(ROLES, fails={("web-1", CONVERGE): DIED})
    _roll_out(documents, fleet, before=dict.fromkeys(ROLES))
    assert documents.desired().nodes == {}


def test_after_a_failure_no_new_node_keeps_the_bad_release_as_what_it_should_run(documents):
    fleet = FakeFleet.of(ROLES, fails={("web-3", CONVERGE): DIED}, sick=set())
    _roll_out(documents, fleet, before={"web-1": None})
    assert NEW not in documents.desired().nodes.values()


def test_the_document_says_where_it_is_while_it_is_under_way(documents):
    seen = []

    def look(_node: str, function: str, _release: str | None) -> None:
        document = documents.load("R000001").document
        seen.append((function, document.log[-1]["event"], document.state))

    _roll_out(documents, FakeFleet.of(ROLES, before_each=look))
    events = {PREFETCH: "prefetch", CONVERGE: "swap", STATUS: "check"}
    assert [function for function, *_ in seen[-4:]] == [PRUNE] * 4
    seen = [each for each in seen if each[0] != PRUNE]
    assert all(event == events[function] and state == "running" for function, event, state in seen)


def test_nodes_are_locked_while_it_is_under_way_and_a_second_one_is_refused(documents):
    second = FakeFleet.of(ROLES)
    refused = []

    def start_another(_node: str, function: str, _release: str | None) -> None:
        if function == CONVERGE and not refused:
            with pytest.raises(NodesLocked, match="R000001") as caught:
                _roll_out(documents, second)
            refused.append(caught.value.exit_code)

    first = _roll_out(documents, FakeFleet.of(ROLES, before_each=start_another))
    assert refused == [8]
    assert not second.asked
    assert first.state == "converged"
    assert documents.load("R000002").document.state == "failed"
    assert _is_unlocked(documents)


def test_a_driver_that_has_lost_a_lock_changes_nothing_more(documents):
    def lose(_node: str, function: str, _release: str | None) -> None:
        if function == STATUS:
            documents.unlock("R000001")
            documents.lock(["web-4"], "R000099", time.time(), 60)

    fleet = FakeFleet.of(ROLES, before_each=lose)
    with pytest.raises(NodesLocked, match="R000099"):
        _roll_out(documents, fleet)
    assert fleet.swapped() == ["web-1"]
    assert documents.load("R000001").document.state == "running"
    assert documents.holder("web-4", time.time()) == "R000099"


def test_two_rollouts_of_different_nodes_go_side_by_side(documents):
    def start_another(_node: str, function: str, _release: str | None) -> None:
        if function == CONVERGE and len(documents.ids()) == 1:
            other = {"db-1": "db"}
            ended = _drive_new(documents, FakeFleet.of(other), other)
            assert ended.state == "converged"

    first = _roll_out(documents, FakeFleet.of(ROLES, before_each=start_another))
    assert first.state == "converged"


def _raise_at(wanted: str, error: BaseException):
    def before_each(_node: str, function: str, _release: str | None) -> None:
        if function == wanted:
            raise error

    return before_each


@pytest.mark.parametrize(
    "error",
    [MasterUnreachable("gone"), OSError("no more files"), KeyboardInterrupt()],
    ids=lambda error: type(error).__name__,
)
def test_a_driver_that_fails_in_the_middle_says_so_and_another_one_goes_on(documents, error):
    fleet = FakeFleet.of(ROLES, before_each=_raise_at(CONVERGE, error))
    with pytest.raises(type(error)):
        _roll_out(documents, fleet)
    left = documents.load("R000001").document
    assert left.state == "running"
    assert left.log[-1]["error"]["what"]
    assert _is_unlocked(documents)
    with pytest.raises(NodesLocked, match="R000001"):
        _roll_out(documents, FakeFleet.of(ROLES))
    fleet.before_each = lambda *_: None
    ended = drive(documents, fleet, "R000001", lambda *_: None)
    assert ended.state == "converged"
    assert set(fleet.serving.values()) == {NEW}
    assert not documents.holders(0), "its nodes are free"


class _Killed(BaseException):
    """As by kill -9: nothing is written any more."""


@pytest.mark.parametrize("dies_at", range(1, 14))
def test_a_driver_killed_at_any_step_and_resumed(documents, monkeypatch, dies_at):
    """After each write, and before each node is asked."""
    steps = 0

    def step(*_: object) -> None:
        nonlocal steps
        steps += 1
        if steps == dies_at:
            raise _Killed

    fleet = FakeFleet.of(ROLES, before_each=step)
    monkeypatch.setattr(driving._Driver, "say", lambda *_, **__: None)
    monkeypatch.setattr(documents, "leave", lambda *_: None)
    rollout = start(documents, lambda rollout_id: document_of(ROLES, rollout_id=rollout_id), _clock)
    with pytest.raises(_Killed):
        drive(documents, fleet, rollout.id, step, _clock)
    with pytest.raises(NodesLocked, match="R000001"):
        drive(documents, fleet, rollout.id, step, _clock)
    ended = drive(documents, fleet, rollout.id, step, lambda: _clock() + 61)
    assert ended.state == "converged"
    assert set(fleet.serving.values()) == {NEW}


def _clock() -> float:
    return 1_000_000.0


def test_a_pause_is_taken_in_after_the_command_that_is_under_way(documents):
    def pause(_node: str, function: str, _release: str | None) -> None:
        if function == CONVERGE and documents.load("R000001").document.state == "running":
            kept = documents.load("R000001")
            documents.change(kept, lambda document: control.pause(document, "ada"))

    fleet = FakeFleet.of(ROLES, before_each=pause)
    paused = _roll_out(documents, fleet)
    assert paused.state == "paused"
    assert paused.nodes["web-1"].state == "swapped", "its answer was waited for"
    assert fleet.swapped() == ["web-1"]
    documents.change(documents.load("R000001"), control.resume)
    fleet.before_each = lambda *_: None
    assert drive(documents, fleet, "R000001", lambda *_: None).state == "converged"


def test_an_abort_in_the_middle_of_a_bake_takes_all_back(documents):
    def abort(_node: str, function: str, _release: str | None) -> None:
        if function == STATUS and documents.load("R000001").document.state == "running":
            kept = documents.load("R000001")
            documents.change(kept, lambda document: control.abort(document, "ada"))

    fleet = FakeFleet.of(ROLES, before_each=abort)
    ended = _roll_out(documents, fleet, bake_s=3600.0)
    assert ended.state == "aborted"
    assert set(fleet.serving.values()) == {OLD}
    assert documents.desired().nodes == {"web-1": OLD}


def test_looks_are_as_far_apart_however_long_they_take_and_one_is_at_the_bakes_end():
    assert _until_next_look(now=100.3, began=100.0, baked_at=101.0) == pytest.approx(0.2)
    assert _until_next_look(now=100.8, began=100.0, baked_at=101.0) == pytest.approx(0.2)
    assert _until_next_look(now=100.8, began=100.0, baked_at=100.9) == pytest.approx(0.1)
    assert _until_next_look(now=101.2, began=100.0, baked_at=101.0) == pytest.approx(0.3)
    assert _until_next_look(now=100.0, began=100.0, baked_at=100.0) == pytest.approx(0.5)


ERRORS = read_gate("errors", {"bad": "bad", "all": "every", "worse_by": 0.01})


def _pages(bad_share: float, each: int):
    looks = 0

    def pages(_node: str, release: str) -> dict[str, str]:
        nonlocal looks
        looks += 1
        bad = bad_share * each * looks if release == NEW else 0
        return {release: f"every {each * looks}\nbad {bad}\n"}

    return pages


def test_a_canary_that_does_worse_than_the_others_goes_back(documents):
    fleet = FakeFleet.of(ROLES, pages=_pages(bad_share=0.2, each=100))
    ended = _roll_out(documents, fleet, gates={"web": (ERRORS,)})
    assert ended.state == "rolled_back"
    assert fleet.swapped() == ["web-1"]
    assert ended.nodes["web-1"].error["what"] == "did not pass its gate"


def test_a_canary_without_traffic_is_held_and_resumed_when_there_is_some(documents):
    fleet = FakeFleet.of(ROLES, pages=_pages(bad_share=0.0, each=1))
    held = _roll_out(documents, fleet, gates={"web": (ERRORS,)})
    assert held.state == "paused"
    assert "too few to judge" in held.note
    assert fleet.swapped() == ["web-1"]
    fleet.pages = _pages(bad_share=0.0, each=100)
    documents.change(documents.load("R000001"), control.resume)
    assert drive(documents, fleet, "R000001", lambda *_: None).state == "converged"


def test_a_gate_waits_for_traffic_as_long_as_it_may(documents):
    looks = []

    def pages(node: str, release: str) -> dict[str, str]:
        looks.append(node)
        came = 1000 * (looks.count(node) - 1) if looks.count("web-1") > 3 else 0
        return {release: f"every {came}\nbad 0\n"}

    ended = _roll_out(
        documents, FakeFleet.of(ROLES, pages=pages), gates={"web": (ERRORS,)}, hold_s=60.0
    )
    assert ended.state == "converged"


def test_a_stall_in_the_first_look_is_diluted_by_what_comes_after_it(documents):
    """One bad request of the first hundred would be too many; of all that come it is not."""
    looks = []

    def pages(node: str, release: str) -> dict[str, str]:
        looks.append(node)
        seen = looks.count(node) - 1
        every = 60 if seen == 1 else 10_000 * seen
        return {release: f"every {every}\nbad {min(seen, 1) if release == NEW else 0}\n"}

    ended = _roll_out(
        documents, FakeFleet.of(ROLES, pages=pages), gates={"web": (ERRORS,)}, hold_s=60.0
    )
    assert ended.state == "converged"
    assert looks.count("web-1") > 2


def test_nodes_that_may_be_silent_are_gone_on_without_and_wanted_to_come_along(documents):
    fleet = FakeFleet.of(ROLES, fails={("web-3", PREFETCH): SILENT})
    ended = _roll_out(documents, fleet, max_unreachable=1)
    assert ended.state == "partial"
    assert "web-3" not in fleet.swapped()
    assert documents.desired().nodes == dict.fromkeys(ROLES, NEW)


def test_another_driver_of_the_same_document_stops_this_one(documents):
    def meddle(_node: str, function: str, _release: str | None) -> None:
        if function == PREFETCH:
            kept = documents.load("R000001")
            documents.change(kept, lambda document: replace(document, driver="mine"))

    fleet = FakeFleet.of(ROLES, before_each=meddle)
    with pytest.raises(DocumentChanged):
        _roll_out(documents, fleet)
    assert not fleet.swapped()
    assert documents.load("R000001").document.driver == "mine"
    assert _is_unlocked(documents)


def test_a_rollback_neither_fetches_nor_stops_at_a_failure(documents):
    fleet = FakeFleet.of(ROLES, fails={("web-1", CONVERGE): DIED})
    ended = _roll_out(documents, fleet, kind="rollback")
    assert ended.state == "failed"
    assert sorted(fleet.swapped()) == sorted(ROLES)
    assert [fleet.serving[node] for node in ROLES] == [OLD, NEW, NEW, NEW]
    assert PREFETCH not in [function for _, function, _ in fleet.asked]


def test_a_lock_is_renewed_although_the_store_once_did_not_answer(documents, monkeypatch):
    monkeypatch.setattr(driving, "RENEW_S", 0.01)
    renewals, enough = 0, threading.Event()
    lock = documents.lock

    def flaky(*args, **kwargs) -> None:
        nonlocal renewals
        if threading.current_thread() is not threading.main_thread():
            renewals += 1
            if renewals == 1:
                raise StoreUnreachable("just now")
            if renewals == 3:
                enough.set()
        lock(*args, **kwargs)

    monkeypatch.setattr(documents, "lock", flaky)

    def wait(_node: str, function: str, _release: str | None) -> None:
        if function == CONVERGE:
            assert enough.wait(10), "the locks are not renewed any more"

    assert _roll_out(documents, FakeFleet.of(ROLES, before_each=wait)).state == "converged"


# What nodes may remove.


def _of_another_role(rollout_id: str) -> Document:
    return document_of({"db-1": "db"}, rollout_id=rollout_id)


def _pruned(fleet: FakeFleet) -> list[tuple[str, set[str]]]:
    return [(node, set(pinned)) for node, pinned in fleet.pruned]


def test_after_a_good_rollout_its_nodes_prune_but_what_open_rollouts_name(documents):
    dead, ended = "1.5.0-dddddddddddd", "1.6.0-eeeeeeeeeeee"
    for release, state in ((dead, "running"), (dead, "rolling_back"), (ended, "converged")):
        kept = documents.create(_of_another_role)
        node = replace(kept.document.nodes["db-1"], before=f"{state}-000000000000", to=release)
        changed = replace(kept.document, state=state, nodes={"db-1": node}).planned()
        documents.change(kept, lambda _, changed=changed: changed)
        documents.unlock(kept.document.id)
    fleet = FakeFleet.of(ROLES)
    assert _roll_out(documents, fleet).state == "converged"
    pinned = {OLD, NEW, dead, "running-000000000000", "rolling_back-000000000000"}
    assert _pruned(fleet) == [(node, pinned) for node in ROLES]


@pytest.mark.parametrize(
    ("more", "fails"),
    [({}, {("web-1", CONVERGE): DIED}), ({"kind": "rollback"}, {})],
    ids=["rolled back", "a rollback"],
)
def test_nothing_is_pruned_otherwise(documents, more, fails):
    fleet = FakeFleet.of(ROLES, fails=fails)
    _roll_out(documents, fleet, **more)
    assert not fleet.pruned


def test_nothing_is_pruned_when_it_is_not_known_what_is_spoken_for(documents, tmp_path):
    kept = documents.create(_of_another_role)
    (tmp_path / f"documents/rollouts/{kept.document.id}.json").write_text("{")
    fleet = FakeFleet.of(ROLES)
    assert _roll_out(documents, fleet).state == "converged"
    assert not fleet.pruned


@pytest.mark.parametrize("error", [SILENT, DIED, MasterUnreachable("gone")], ids=str)
def test_a_prune_that_fails_changes_nothing_of_the_rollout(documents, error):
    if isinstance(error, Exception):
        fleet = FakeFleet.of(ROLES, before_each=_raise_at(PRUNE, error))
    else:
        fleet = FakeFleet.of(ROLES, fails={("web-1", PRUNE): error})
    assert _roll_out(documents, fleet).state == "converged"
    assert documents.load("R000001").document.state == "converged"
    assert _is_unlocked(documents)


def test_nodes_are_pruned_while_they_are_locked(documents):
    """Else another rollout could have fetched what is removed."""
    holders = []

    def look(node: str, function: str, _release: str | None) -> None:
        if function == PRUNE:
            holders.append(documents.holder(node, time.time()))

    _roll_out(documents, FakeFleet.of(ROLES, before_each=look))
    assert holders == ["R000001"] * 4
