"""The machine in which the systemd half of the process contract is run, by a pytest of its own.

It is a lab's node without a release: real Debian, its own systemd as pid 1, its own Python. The
engine acts on "/" and on pid 1, so it is let loose nowhere else.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from artifacts.venv import install_command, venv_command
from artifacts.wheels import WheelsFailed, wheels_of
from cli.lab import operate
from cli.lab.fleet_files import WHEELS
from cli.lab.nspawn import obstacle
from cli.lab.spec import REPOSITORY, Lab
from tests.contracts.process_engines import ON_MACHINE
from tests.contracts.process_outcomes import Outcomes, read_junit

LOCK = REPOSITORY / "requirements/contract.lock"
PACKED = ("artifacts", "eventstore", "salt", "scaling", "tests")
MACHINE = "contract-01"
# On the machine. Not below /tmp: every unit sees one of its own there.
SUITE = Path("/opt/suite")
PYTHON = SUITE / "venv/bin/python"
RESULTS = SUITE / "results.xml"
INSTALL_S = 60.0
RUN_S = 600.0


def run_on_machine(root: Path, tests: Sequence[str]) -> Outcomes:
    """Run the tests with these ids on a machine below `root`, which is gone afterwards.

    Skips where there can be no machine.
    """
    if refused := obstacle():
        pytest.skip(f"not run: no machine with systemd: {refused}")
    try:
        wheels = wheels_of(LOCK, WHEELS, "3.11")
    except WheelsFailed as error:
        pytest.skip(f"not run: {error.what}: {error.why}")
    try:
        lab, _ = operate.up(root, "contract", "nspawn", (MACHINE,), print)
        its_root = lab.node_root(MACHINE) / "merged"
        _pack(its_root / SUITE.relative_to("/"), wheels.values())
        _install(lab)
        output = _on(lab, pytest_command(tests), RUN_S).stdout
        results = its_root / RESULTS.relative_to("/")
        return Outcomes(read_junit(results.read_text()) if results.exists() else {}, output)
    finally:
        operate.down(root, "contract")


def pytest_command(tests: Sequence[str]) -> tuple[str, ...]:
    return (
        *("env", f"--chdir={SUITE}", f"{ON_MACHINE}=1", str(PYTHON), "-m", "pytest"),
        *("-p", "no:cacheprovider", f"--basetemp={SUITE / 'tmp'}", f"--junitxml={RESULTS}"),
        "--confcutdir=tests/contracts",  # what all tests share needs hypothesis, which isn't there
        *tests,
    )


def _pack(suite: Path, wheels: Iterable[Path]) -> None:
    for name in PACKED:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / name, suite / name, ignore=ignored)
    for file in (REPOSITORY / "pyproject.toml", LOCK):
        shutil.copy(file, suite)
    (suite / "wheels").mkdir()
    for wheel in wheels:
        shutil.copy(wheel, suite / "wheels")


def _install(lab: Lab) -> None:
    uv = "/usr/local/bin/uv"
    for command in (
        venv_command(uv, Path("/usr/bin/python3"), SUITE / "venv"),
        install_command(uv, SUITE / "venv", SUITE / "wheels", SUITE / LOCK.name),
    ):
        done = _on(lab, command, INSTALL_S)
        assert done.returncode == 0, done.stdout


def _on(lab: Lab, command: tuple[str, ...], limit_s: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        operate.inside(lab, MACHINE, command),
        env={"PATH": os.defpath, "HOME": "/root", "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=limit_s,
        check=False,
    )
