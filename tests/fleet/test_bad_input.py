"""What bad input gets on a real fleet: one clear error, the right exit code, and what serves goes
on serving. The app is a foreign one: the toolkit knows nothing of it but its evctl.yaml."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from cli.lab import operate
from demo.evctl import Evctl
from faults.drivers import killed_in_a_swap
from faults.fault import Fault
from faults.play import play_one
from faults.scene import Scene
from tests.cli.conftest import WITHOUT_RIGHTS
from tests.contracts.http_load import get
from tests.fleet.convergence import (
    test_a_node_that_is_off_is_never_fine_and_comes_back_right,  # noqa: F401 - runs in this lab
)
from tests.fleet.foreign_fleet import FOREIGN, PORT, Fleet, git
from tests.fleet.nobody import as_nobody

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    root = tmp_path_factory.mktemp("fleet") / "lab"
    app = root.parent / "app"
    shutil.copytree(FOREIGN, app, ignore=shutil.ignore_patterns("__pycache__", "*.py.orig"))
    git(app, "init", "-q", "-b", "main")
    git(app, "add", "-A")
    git(app, "commit", "-q", "-m", "first")
    try:
        lab, _ = operate.up(root, "bad", "process", (), print)
        made = Fleet(lab, Evctl(lab.fleet_file, app))
        made.release("1.0.0", "--channel", "stable")
        made.lab, _ = operate.up(root, "bad", "auto", ("web-01=web", "web-02=web"), print)
        yield made
    finally:
        operate.down(root, "bad")


def test_a_foreign_app_is_rolled_out_and_back(fleet: Fleet) -> None:
    one = fleet.release("1.0.0")
    two = fleet.release("1.1.0")
    assert fleet.serving() == {"web-01": one, "web-02": one}
    assert fleet.evctl(*fleet.roll_out(two)).result["swaps"] == 2
    assert fleet.serving() == {"web-01": two, "web-02": two}
    assert fleet.evctl(*fleet.roll_out(two)).result["state"] == "unchanged"
    assert fleet.evctl("rollback", "--yes").result["swaps"] == 2
    assert fleet.serving() == {"web-01": one, "web-02": one}


def test_a_poll_undoes_nothing(fleet: Fleet) -> None:
    """What nodes do by themselves twice a minute, asked for now."""
    before = fleet.serving()
    two = fleet.release("1.1.0")
    fleet.evctl(*fleet.roll_out(two, "web-01"))
    polled = subprocess.run(
        (
            str(Path(sys.executable).with_name("salt")),
            *("-c", str(fleet.lab.master_root / "etc"), "--out", "json", "--static"),
            *("*", "evrelease.converge"),
        ),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert '"unchanged": true' in polled.stdout
    assert fleet.serving() == {**before, "web-01": two}
    fleet.evctl("rollback", "--yes")
    assert fleet.serving() == before


def test_a_tool_of_the_app_runs_on_one_of_its_nodes(fleet: Fleet) -> None:
    serving = fleet.serving()
    said = fleet.evctl("ask", "--node", "web-02", "exit", "5", "true", expect=5).result
    assert said["arguments"] == ["exit", "5", "true", "--json"]  # texts, as they were given
    assert said["environment"]["EV_NODE"] == "web-02"
    assert said["environment"]["EV_RELEASE"] == serving["web-02"]
    assert fleet.evctl("ask", "x").result["environment"]["EV_NODE"] == "web-01"
    fleet.refused("ask", "--node", "web-03", "x", exit_code=2, code="E5002")
    fleet.refused("ask", "flood", exit_code=1, code="E1401")
    assert fleet.serving() == serving


@pytest.mark.parametrize(
    ("expression", "code"),
    [
        ("role:web!role:web", "E5401"),
        ("role:nothing", "E5401"),
        ("web-0[", "E5401"),
        ("", "E5401"),
        ("web-77", "E5401"),
    ],
)
def test_ranges_that_name_nothing(fleet: Fleet, expression: str, code: str) -> None:
    one = fleet.release("1.0.0")
    fleet.refused(*fleet.roll_out(one, expression), exit_code=2, code=code)


def test_an_unknown_release(fleet: Fleet) -> None:
    before = fleet.serving()
    error = fleet.refused(*fleet.roll_out("9.9.9-000000000000"), exit_code=2, code="E2102")
    assert before["web-01"].split("-")[0] in error["why"]
    assert fleet.serving() == before


def test_a_tarball_whose_digest_is_wrong(fleet: Fleet) -> None:
    before = fleet.serving()
    bad = fleet.release("6.6.6")
    tarball = fleet.lab.registry / "releases" / bad / "release.tar"
    body = bytearray(tarball.read_bytes())
    body[len(body) // 2] ^= 1
    tarball.write_bytes(body)
    error = fleet.refused(*fleet.roll_out(bad), exit_code=5, code="E4101")
    assert "E2103" in error["why"]
    assert fleet.serving() == before


def test_a_registry_that_does_not_answer(fleet: Fleet) -> None:
    before = fleet.serving()
    new = fleet.release("1.2.0")
    away = fleet.lab.registry.with_name("registry.away")
    fleet.lab.registry.rename(away)
    try:
        fleet.refused("release", exit_code=7, code="E2003")
        error = fleet.refused(*fleet.roll_out(new), exit_code=7, code="E2003")
        assert str(fleet.lab.registry) in error["what"]
        assert fleet.serving() == before
    finally:
        away.rename(fleet.lab.registry)


def test_a_user_without_rights(fleet: Fleet) -> None:
    command = fleet.evctl.command("status", "--json")
    to_python = (Path(sys.executable), Path(command[0]))
    done = as_nobody(command, *to_python, fleet.lab.fleet_file, env=fleet.evctl.environment())
    assert done.returncode == 4, done
    assert json.loads(done.stdout)["error"]["code"] == "E3002"
    assert "Traceback" not in done.stderr


def test_a_user_who_may_not_read_the_masters_settings(fleet: Fleet) -> None:
    before = fleet.serving()
    settings = fleet.lab.master_root / "etc/master"
    settings.chmod(0)
    try:
        for arguments in (("status",), fleet.roll_out(before["web-01"])):
            done = subprocess.run(
                (*WITHOUT_RIGHTS, *fleet.evctl.command(*arguments)),
                env=fleet.evctl.environment(),
                cwd=fleet.evctl.folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 4, done
            assert "E3002 the Salt master refuses this user\n  why: [Errno 13]" in done.stderr
    finally:
        settings.chmod(0o644)
    assert fleet.serving() == before


def test_of_two_rollouts_of_the_same_nodes_the_second_is_refused(fleet: Fleet) -> None:
    before = fleet.serving()
    new = fleet.release("1.3.0")
    first = subprocess.Popen(
        fleet.evctl.command(*fleet.roll_out(new), "--bake", "5", "--json"),
        env=fleet.evctl.environment(),
        cwd=fleet.evctl.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert first.stdout is not None
    try:
        events = map(json.loads, first.stdout)
        holder = next(event["rollout"] for event in events if event["event"] == "prefetch")
        error = fleet.refused(*fleet.roll_out(new, "web-02"), exit_code=8, code="E4003")
        assert error["what"] == f"web-02 is locked by {holder}"
        assert error["next"] == f"evctl rollouts {holder}"
        known = fleet.evctl("fleet").result["nodes"]
        assert {node: facts["rollout"] for node, facts in known.items()} == {
            "web-01": holder,
            "web-02": holder,
        }
        assert {facts["key"] for facts in known.values()} == {"joined"}
        *_, summary = events
        assert (summary["id"], summary["state"], summary["swaps"]) == (holder, "converged", 2)
        assert first.wait(60) == 0
    finally:
        if first.poll() is None:
            first.kill()
            first.wait(10)
        first.stdout.close()
    known = fleet.evctl("fleet").result["nodes"]
    assert {(facts["rollout"], facts["desired"]) for facts in known.values()} == {(None, new)}
    assert fleet.evctl("rollback", holder, "--yes").result["swaps"] == 2
    assert fleet.serving() == before


def test_a_driver_killed_in_a_swap(fleet: Fleet) -> None:
    """As `make faults` plays it, and more, on machines and under its own load."""
    base, good = fleet.serving()["web-01"], fleet.release("1.1.0")
    scene = Scene(fleet.lab.root, fleet.evctl, "role:web", base, good, fleet.release)
    killed = partial(killed_in_a_swap, short_lease=True)
    over = threading.Event()
    with ThreadPoolExecutor(1) as executor:
        asking = executor.submit(statuses_until, over, fleet.lab.node("web-01").address)
        try:
            row = play_one(scene, Fault("killed", "", ("converged",), killed))
        finally:
            over.set()
        statuses = asking.result()
    assert (row.broke, row.left_behind, row.state) == ("", "", "converged")
    assert set(statuses) == {200}
    assert fleet.serving() == {"web-01": base, "web-02": base}


def statuses_until(over: threading.Event, host: str) -> list[int]:
    statuses = []
    while not over.wait(0.02):
        statuses.append(asyncio.run(get(host, PORT, "/"))[0])
    return statuses


def test_old_releases_leave_the_nodes_and_what_is_needed_stays(fleet: Fleet) -> None:
    """More releases than the pillar's `keep`, beside the current and the last good one."""
    keep = 3
    rolled_out = [fleet.release(f"2.0.{number}") for number in range(keep + 3)]
    for release in rolled_out:
        fleet.evctl(*fleet.roll_out(release, "web-01"), "--bake", "0")
    status = fleet.evctl("status").result["nodes"]["web-01"]
    assert (status["current"], status["last_good"]) == (rolled_out[-1], rolled_out[-2])
    assert set(status["unpacked"]) == set(rolled_out[-keep - 2 :])
    assert fleet.evctl("rollback", "--yes").result["swaps"] == 1
    assert fleet.serving()["web-01"] == rolled_out[-2]
