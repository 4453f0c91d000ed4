"""Labs of real machines: what they leave alone, what they leave behind, who may join."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cli.lab import namespaces, operate, traces
from cli.lab.nspawn import obstacle
from cli.lab.spec import Lab, load_lab

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(400)]  # the base image may have to be made


@pytest.fixture(autouse=True, scope="module")
def needs_machines() -> None:
    if refused := obstacle():
        pytest.skip(f"not run: {refused}")


def silent(_: str) -> None:
    """Nobody is watching."""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Where a lab may be put up; whatever is there afterwards is taken down."""
    root = tmp_path / "lab"
    yield root
    operate.down(root, "test")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One with a collector, for tests that leave it as it was."""
    root = tmp_path_factory.mktemp("machines") / "lab"
    try:
        yield up(root, ("collector-01",))
    finally:
        operate.down(root, "test")


def up(root: Path, nodes: tuple[str, ...]) -> Lab:
    lab, _ = operate.up(root, "test", "nspawn", nodes, silent)
    return lab


def said(command: tuple[str, ...]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def host_network() -> str:
    """The host's interfaces and routes, without counters."""
    return said(("ip", "-o", "link")) + said(("ip", "-o", "addr")) + said(("ip", "route"))


def left_of(lab: Lab) -> list[object]:
    return [
        *traces.processes(lab),
        *traces.mounts(lab),
        *namespaces.networks_of(lab),
        *traces.control_groups(f"{lab.network}-*"),
        *[folder for folder in (lab.root, lab.run) if folder.exists()],
    ]


def test_two_labs_run_side_by_side_and_the_host_network_is_left_as_it_was(tmp_path: Path) -> None:
    before = host_network()
    places = [tmp_path / "one", tmp_path / "two"]
    try:
        labs = [up(place, ("collector-01",)) for place in places]
        assert host_network() == before
        for lab in labs:
            assert (
                said(operate.inside(lab, "collector-01", ("hostname",))).strip() == "collector-01"
            )
        first_init, second_init = (traces.machine_init(lab, "collector-01") for lab in labs)
        assert operate.down(places[0], "test")
        assert left_of(labs[0]) == []
        assert traces.machine_init(labs[1], "collector-01") == second_init != first_init
    finally:
        for place in places:
            operate.down(place, "test")
    assert [left_of(lab) for lab in labs] == [[], []]
    assert host_network() == before


def test_after_a_crash_of_up_at_any_moment_down_leaves_nothing(place: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from cli.lab import operate; "
        "operate.up(Path(sys.argv[1]), 'test', 'nspawn', ('collector-01', 'collector-02'), "
        "lambda line: print(line, flush=True))"
    )
    for lines_before_the_crash in (1, 2, 4):
        crashing = subprocess.Popen(
            (sys.executable, "-c", program, str(place)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert crashing.stdout is not None
        for _ in range(lines_before_the_crash):
            assert crashing.stdout.readline()
        crashing.send_signal(signal.SIGKILL)
        crashing.wait(30)
        crashing.stdout.close()
        lab = load_lab(place) or Lab("test", place, "nspawn")
        operate.down(place, "test")
        assert left_of(lab) == []


def test_nothing_of_the_hosts_python_is_in_a_node(lab: Lab) -> None:
    inside = operate.inside(lab, "collector-01", ("cat", "/proc/self/mountinfo"))
    mounted = {line.split()[4] for line in said(inside).splitlines()}
    assert not [point for point in mounted if point.startswith(("/work", "/root", "/home", "/usr"))]
    print_python = "import sys; print(sys.executable, sys.base_prefix)"
    python = operate.inside(lab, "collector-01", ("/opt/salt/bin/python", "-c", print_python))
    assert said(python).split() == ["/opt/salt/bin/python", "/usr"]
    environment = operate.inside(lab, "collector-01", ("cat", "/proc/1/environ"))
    assert "EVCTL" not in said(environment)


def test_a_token_lets_only_its_own_node_in_and_only_once(lab: Lab) -> None:
    accepted = lab.master_root / "pki/minions"
    token = yaml.safe_load((lab.node_root("collector-01") / "upper/etc/salt/minion").read_text())[
        "grains"
    ]["evctl_token"]
    _wait(lambda: token not in (lab.master_root / "tokens/evctl_token").read_text(), 60)

    thief = lab.with_nodes(("thief-01=collector",)).node("thief-01")
    grown = lab.with_nodes(("thief-01=collector",))
    grown.save()
    driver = operate.driver_of(grown)
    try:
        driver.place(grown, thief, token)
        driver.power_on(grown, thief)
        _wait((lab.master_root / "pki/minions_pre/thief-01").exists, 60)
        assert not (accepted / "thief-01").exists()
    finally:
        operate.take_away(grown, thief)
        lab.save()


def _wait(true: object, limit_s: float) -> None:
    assert callable(true)
    deadline = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_a_node_comes_back_from_a_power_cut(lab: Lab) -> None:
    before = traces.machine_init(lab, "collector-01")
    operate.power_off(lab, "collector-01")
    assert traces.machine_init(lab, "collector-01") is None
    again, started = operate.up(lab.root, "test", "auto", None, silent)
    assert list(started) == ["collector-01"]
    assert traces.machine_init(again, "collector-01") not in (None, before)
    assert os.path.ismount(again.node_root("collector-01") / "merged")
