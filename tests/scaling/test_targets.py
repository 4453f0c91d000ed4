"""Targets as settings say them, and as docs/settings.md tells of them."""

from dataclasses import asdict
from pathlib import Path

import pytest

from scaling.decide import Target
from scaling.targets import DEFAULTS, BadTargets, targets_of

PAGE = Path(__file__).parents[2] / "docs/settings.md"


def test_what_is_named_changes_and_nothing_else():
    targets = targets_of({"processor": {"ceiling": 8, "oldest_s": 5.5}})
    assert targets["collector"] == DEFAULTS["collector"]
    assert targets["processor"] == Target(floor=2, ceiling=8, oldest_s=5.5)


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ([], "expected roles"),
        ({"web": {}}, "web: expected one of"),
        ({"processor": 3}, "processor: expected numbers by name"),
        ({"processor": {"floor": 1.5}}, "expected a whole number"),
        ({"processor": {"oldest_s": True}}, "expected a number"),
        ({"processor": {"oldest_s": float("nan")}}, "expected 0 to 86400"),
        ({"processor": {"floor": 30}}, "above its ceiling"),
    ],
)
def test_what_is_wrong_is_named(document: object, complaint: str):
    with pytest.raises(BadTargets, match=complaint):
        targets_of(document)


def test_the_defaults_are_documented():
    rows = {
        cells[1].strip(): [cell.strip() for cell in cells[2:5]]
        for line in PAGE.read_text().splitlines()
        if line.startswith("| ") and len(cells := line.split("|")) == 7
    }
    for key in asdict(Target()):
        assert rows[key] == [f"{asdict(target)[key]:g}" for target in DEFAULTS.values()], key
