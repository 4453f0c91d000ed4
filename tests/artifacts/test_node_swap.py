"""Swap, rollback and prune on a lone node, with releases that are good and bad."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from artifacts.node_lock import node_lock
from artifacts.prune import removable
from tests.contracts.http_load import get
from tests.foreign.lone_node import LoneNode, lone_node


@pytest.fixture
def node() -> Iterator[LoneNode]:
    with lone_node() as made:
        yield made


def serving(node: LoneNode, *versions: str) -> list[str]:
    """Published, prefetched, and swapped in one after the other; their ids."""
    releases = [node.publish(version) for version in versions]
    for release in releases:
        node.done("converge", release=release)
    return releases


def test_first_start_swap_and_rollback(node: LoneNode) -> None:
    one, two = node.publish("1.0.0"), node.publish("1.1.0")

    first = node.done("converge", release=one)
    assert (first["from"], first["to"], first["drained"]) == (None, one, True)
    assert node.answers() == one
    assert node.error("rollback")["code"] == "E1203"

    node.done("prefetch", release=two)
    swap = node.done("activate", release=two)
    assert (swap["from"], swap["to"], swap["drained"]) == (one, two, True)
    assert swap["started_at"] <= swap["ended_at"]
    assert swap["total_s"] >= max(swap["ready_s"], swap["drain_s"]) >= 0
    status = node.done("status")
    assert (status["release"], status["current"], status["last_good"]) == (two, two, one)
    assert (status["node"], status["role"]) == (node.engine.node, "web")
    assert node.answers() == two
    assert node.running() == [two]

    assert node.done("metrics").keys() == {two}, "the page of every generation that answers"

    with node.registry_gone():
        back = node.done("rollback")
    assert (back["from"], back["to"]) == (two, one)
    assert node.answers() == one
    json.dumps(node.run("status"))


def test_what_is_wanted_is_asked_once_no_other_change_is_under_way(node: LoneNode) -> None:
    """A node that polls while a rollout swaps it must not go back to what it was told before."""
    one, two = serving(node, "1.0.0", "1.1.0")
    node.done("converge", release=one)
    told = {"release": one}
    lock = node.engine.layout.lock
    with ThreadPoolExecutor() as threads:
        with node_lock(lock, "activate", 5):
            polling = threads.submit(node.done, "converge", release=lambda: told["release"])
            told["release"] = two
        assert polling.result(30)["to"] == two
    assert node.done("converge", release=lambda: None) == {"unchanged": True, "release": None}
    assert node.answers() == two


def test_a_node_that_retires_drains_and_nothing_brings_it_back(node: LoneNode) -> None:
    (one,) = serving(node, "1.0.0")
    assert node.done("desired") == {one: {}}, "this app says nothing of numbers"
    retired = node.done("retire")
    assert (retired["stopped"], retired["drained"]) == ([one], True)
    assert node.running() == []
    assert node.done("status")["current"] is None, "nor after a boot"
    layout = node.engine.layout
    told = json.loads((layout.root / "opt/evctl/told.json").read_text())
    assert told["release"] is None, "nor when its master falls silent"
    assert node.done("retire")["stopped"] == []


def test_what_was_left_by_a_rollback_never_becomes_the_good_one(node: LoneNode) -> None:
    one, two = serving(node, "1.0.0", "1.1.0")
    node.done("rollback")
    assert node.done("status")["last_good"] == one
    assert node.done("rollback") == {"unchanged": True, "release": one}

    node.done("activate", release=two)
    node.done("activate", release=one)  # a rollback by name is one too
    assert node.done("status")["last_good"] == one

    three = node.publish("1.2.0")
    node.done("converge", release=three)
    assert node.done("status")["last_good"] == one


def test_to_what_serves_already_changes_nothing(node: LoneNode) -> None:
    (one,) = serving(node, "1.0.0")
    before = node.done("status")["generations"]
    assert node.done("activate", release=one) == {"unchanged": True, "release": one}
    with node.registry_gone():
        assert node.done("converge", release=one)["unchanged"] is True
    assert node.done("status")["generations"] == before


def test_what_serves_but_became_unready_is_told_and_left_running(node: LoneNode) -> None:
    release = node.publish("1.0.0", "unready-later")
    node.done("converge", release=release)
    before = node.done("status")["generations"]
    asyncio.run(get(*node.engine.address, "/fail"))
    answer = node.run("converge", release=release)
    assert answer["error"]["code"] == "E1305"
    (after,) = answer["status"]["generations"]
    assert after == before[0] | {"ready": False}
    assert answer["status"]["release"] == release


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        ("die", "E1301", "planted: dies at start"),
        ("never-ready", "E1301", "never said READY=1"),
        ("not-ready", "E1302", "/readyz answered 503: planted: not ready"),
        ("wrong-version", "E1303", "another"),
    ],
)
def test_a_bad_release_is_stopped_and_the_old_one_never_notices(
    node: LoneNode, fault: str, code: str, said: str
) -> None:
    one, two = serving(node, "1.0.0", "1.1.0")
    bad = node.publish("1.2.0", fault)
    node.done("prefetch", release=bad)
    before = node.done("status")

    answer = node.run("activate", release=bad)

    error = answer["error"]
    assert (error["code"], error["exit"], error["where"]) == (code, "5", node.engine.node)
    assert said in error["why"]
    assert f"starting, fault {fault}" in error["why"]
    after = answer["status"]
    assert after["generations"] == before["generations"]  # the same process, never restarted
    assert (after["release"], after["current"], after["last_good"]) == (two, two, one)
    assert node.answers() == two


def test_a_bad_first_release_leaves_the_node_without_one(node: LoneNode) -> None:
    bad = node.publish("1.0.0", "die")
    assert node.error("converge", release=bad)["code"] == "E1301"
    status = node.done("status")
    assert (status["release"], status["current"], status["generations"]) == (None, None, [])
    good = node.publish("1.0.1")
    node.done("converge", release=good)
    assert node.answers() == good


def test_a_drain_that_is_cut_short_is_said(node: LoneNode) -> None:
    serving(node, "1.0.0")
    stubborn, next_one = node.publish("1.1.0", "ignore-sigterm"), node.publish("1.2.0")
    node.done("converge", release=stubborn)
    swap = node.done("converge", release=next_one)
    assert swap["drained"] is False
    assert node.running() == [next_one]


def test_a_crash_before_the_flip_is_gone_over_by_the_next_swap(node: LoneNode) -> None:
    one, two = serving(node, "1.0.0")[0], node.publish("1.1.0")
    node.done("prefetch", release=two)
    node.engine.services.start("web", two, ready_s=10)  # and here the swap's process ended
    assert node.running() == sorted([one, two])
    assert node.done("status")["release"] == one
    swap = node.done("activate", release=two)
    assert (swap["from"], swap["to"]) == (one, two)
    assert node.running() == [two]


def test_a_crash_after_the_flip_is_too(node: LoneNode) -> None:
    one, two = serving(node, "1.0.0")[0], node.publish("1.1.0")
    node.done("prefetch", release=two)
    node.engine.services.start("web", two, ready_s=10)
    node.layout.set_last_good("web", one)
    node.layout.set_current("web", two)
    assert node.done("activate", release=two) == {"unchanged": True, "release": two}
    assert node.running() == [two]
    assert node.done("status")["last_good"] == one


def test_a_release_without_the_nodes_role(node: LoneNode) -> None:
    release = node.publish("1.0.0")
    node.done("prefetch", release=release)
    node.configure(role="other")
    error = node.error("activate", release=release)
    assert error["code"] == "E1202"
    assert "other" in error["what"]


def test_a_node_without_a_role_is_told_so(node: LoneNode) -> None:
    node.configure(role=None)
    release = node.publish("1.0.0")
    node.done("prefetch", release=release)
    for function, kwargs in {"activate": {"release": release}, "rollback": {}}.items():
        error = node.error(function, **kwargs)
        assert error["code"] == "E1002"
        assert "nodes.yaml" in error["next"]
    assert node.done("status")["role"] is None


def test_a_busy_node_says_with_what(node: LoneNode) -> None:
    (one,) = serving(node, "1.0.0")
    with node_lock(node.layout.lock, "prefetch", 1):
        error = node.error("activate", release=one)
        assert node.done("status")["release"] == one  # looking needs no lock
    assert (error["code"], error["exit"]) == ("E1003", "8")
    assert "prefetch (pid " in error["what"]
    node.done("activate", release=one)


def test_what_salt_may_ask_wrongly_is_an_answer(node: LoneNode) -> None:
    assert node.error("reboot")["code"] == "E1004"
    assert node.error("activate")["code"] == "E1004"
    assert node.error("status", force=True)["code"] == "E1004"
    node.config.write_text("x: [")
    assert node.run("status") == {
        "ok": False,
        "error": node.error("status"),
        "status": None,
    }


def test_a_dead_supervisor_is_an_answer_too(node: LoneNode) -> None:
    (one,) = serving(node, "1.0.0")
    node.engine.kill()
    answer = node.run("activate", release=one)
    assert answer["error"]["code"] == "E1304"
    assert answer["status"] is None
    node.engine.power_on()
    assert node.answers() == one


def test_files_that_may_not_be_touched_are_an_answer(node: LoneNode) -> None:
    (node.root / "opt").write_text("a file where a folder should be")
    error = node.error("prefetch", release="1.0.0-0123456789ab")
    assert error["code"] == "E1102"
    assert str(node.root) in error["why"]


def test_prune_keeps_what_is_needed(node: LoneNode) -> None:
    old, pinned, spare, one, two = (node.publish(f"1.0.{number}") for number in range(5))
    for release in (old, pinned, spare):
        node.done("prefetch", release=release)
    for release in (one, two):
        node.done("converge", release=release)
    rest = node.layout.releases / "1.0.9-0123456789ab"
    (rest / "app").mkdir(parents=True)

    assert sorted(node.done("prune", pinned=[pinned])) == sorted([old, rest.name])

    assert set(node.done("status")["unpacked"]) == {pinned, spare, one, two}
    assert not node.layout.release(old).exists()
    node.done("rollback")
    assert node.answers() == one


def test_prune_keeps_the_current_release_also_while_nothing_runs(node: LoneNode) -> None:
    node.configure(keep=0)
    one, two = serving(node, "1.0.0", "1.1.0")
    node.engine.services.stop("web", two, drain_s=3)
    assert node.running() == []
    node.layout.set_last_good("web", two)  # so that the current one alone is what keeps `two`
    node.layout.set_current("web", one)
    assert node.done("prune", pinned=[]) == []
    node.layout.set_last_good("web", one)
    assert node.done("prune", pinned=[]) == [two]
    assert node.done("status")["unpacked"] == [one]


def test_prune_keeps_the_last_good_release(node: LoneNode) -> None:
    node.configure(keep=0)
    zero, one, two = serving(node, "0.9.0", "1.0.0", "1.1.0")
    assert node.done("prune", pinned=[]) == [zero]
    with node.registry_gone():
        node.done("rollback")
    assert node.answers() == one
    assert set(node.done("status")["unpacked"]) == {one, two}


def test_prune_keeps_what_an_open_rollout_names(node: LoneNode) -> None:
    """A rollout to the last good release: what it must be able to go back to is neither the
    current nor the last good one, and no generation of it runs."""
    node.configure(keep=0)
    one, two = serving(node, "1.0.0", "1.1.0")
    node.done("converge", release=one)
    status = node.done("status")
    assert (status["current"], status["last_good"], node.running()) == (one, one, [one])
    assert node.done("prune", pinned=[two, one]) == []
    with node.registry_gone():
        node.done("activate", release=two)
    assert node.answers() == two


def test_prune_asks_what_is_spoken_for_once_no_other_change_is_under_way(node: LoneNode) -> None:
    node.configure(keep=0)
    (one,) = serving(node, "1.0.0")
    two = node.publish("1.1.0")
    node.done("prefetch", release=two)
    told: dict[str, list[str] | None] = {"pinned": []}
    with ThreadPoolExecutor() as threads:
        with node_lock(node.layout.lock, "prefetch", 5):
            pruning = threads.submit(node.done, "prune", pinned=lambda: told["pinned"])
            told["pinned"] = [two]
        assert pruning.result(30) == []
    told["pinned"] = None
    assert node.done("prune", pinned=lambda: told["pinned"]) == [], "nobody knows what is needed"
    assert set(node.done("status")["unpacked"]) == {one, two}


def test_what_is_removable() -> None:
    assert removable(["e", "d", "c", "b", "a"], {"d", "x"}, 2) == ["b", "a"]
    assert removable(["b", "a"], (), 0) == ["b", "a"]
    assert removable([], ("a",), 3) == []
