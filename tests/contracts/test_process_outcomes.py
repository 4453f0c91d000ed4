"""What the outer pytest makes of another one's report: never a pass that wasn't one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.contracts.process_outcomes import Outcome, Outcomes, read_junit

TESTS = """
import pytest

@pytest.fixture
def sticky():
    yield
    raise RuntimeError("can't let go")

def test_good(): pass
def test_bad(): assert 1 == 2, "one isn't two"
def test_not_run(): pytest.skip("not run: no moon")
def test_left_behind(sticky): pass
def test_bad_and_left_behind(sticky): assert 1 == 3, "one isn't three"
"""


def test_each_outcome_is_the_one_that_the_other_pytest_saw(tmp_path: Path) -> None:
    (tmp_path / "test_there.py").write_text(TESTS)
    there = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--junitxml=r.xml", ".")
    subprocess.run(there, cwd=tmp_path, capture_output=True, timeout=60, check=False)
    found = Outcomes(read_junit((tmp_path / "r.xml").read_text()), "no tests ran")

    assert found.of("test_good") == Outcome()
    assert "one isn't two" in found.of("test_bad").problem
    assert "no moon" in found.of("test_not_run").problem
    assert [name for name, one in found.by_test.items() if one.skipped] == ["test_not_run"]
    assert "can't let go" in found.of("test_left_behind").problem
    both = found.of("test_bad_and_left_behind").problem
    assert "one isn't three" in both
    assert "can't let go" in both
    assert "no tests ran" in found.of("test_that_never_was").problem
