"""What became of tests that another pytest ran, elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree

import pytest

PROBLEMS = {"failure", "error", "skipped"}


@dataclass(frozen=True)
class Outcome:
    """Of one test. problem: in the words of the pytest that ran it; empty when it passed."""

    problem: str = ""
    skipped: bool = False

    def report(self) -> None:
        """Makes it the outcome of the test that calls this."""
        if self.skipped:
            pytest.skip(self.problem)
        if self.problem:
            pytest.fail(self.problem, pytrace=False)


@dataclass(frozen=True)
class Outcomes:
    """Of a whole run. by_test: by the test's name; output: what pytest printed."""

    by_test: dict[str, Outcome]
    output: str

    def of(self, test: str) -> Outcome:
        return self.by_test.get(test) or Outcome(f"it was not run there:\n{self.output}")


def read_junit(text: str) -> dict[str, Outcome]:
    """By test name, from pytest's own report in JUnit's format. One test may have several entries
    there: its failure, and that of its teardown."""
    found: dict[str, Outcome] = {}
    for case in ElementTree.fromstring(text).iter("testcase"):  # noqa: S314 - pytest wrote it
        name = case.get("name", "")
        before = found.get(name, Outcome())
        parts = [part for part in case if part.tag in PROBLEMS]
        words = [part.text or part.get("message") or part.tag for part in parts]
        found[name] = Outcome(
            "\n\n".join(filter(None, (before.problem, *words))),
            skipped=bool(parts) and all(part.tag == "skipped" for part in parts),
        )
    return found
