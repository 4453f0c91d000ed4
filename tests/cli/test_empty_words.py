"""A shell's unset variable, in quotes: it names nothing, and is not left out."""

from __future__ import annotations

import pytest

from cli.fleet import Fleet
from tests.cli.conftest import roll_out
from tests.rollout.documents_of import OLD


@pytest.mark.parametrize(
    "words",
    [
        ("status", "--range", ""),
        ("doctor", "--range", ""),
        ("drift", "--mend", "--yes", "--range", ""),
        ("lock", "--range", "", "--reason", "disks"),
        ("lock", "--range", ""),
        ("rollback", "--range", "", "--yes"),
        ("rollback", "", "--yes"),
        ("rollouts", ""),
        ("explain", ""),
        ("release", "--channel", ""),
    ],
)
def test_what_is_empty_is_refused_and_not_all(*, evctl, world, nodes, new, words, monkeypatch):
    monkeypatch.chdir(world.app)
    roll_out(evctl, new, "--yes")
    asked = len(nodes.asked)
    ran = evctl(*words)
    assert (ran.code, ran.out) == (2, "")
    assert len(nodes.asked) == asked
    assert OLD not in {nodes.serving[node] for node in ("web-01", "web-02")}
    fleet = Fleet.load(world.fleet)
    assert fleet.documents().ids() == ["R000001"]
    assert fleet.documents().holds() == {}
