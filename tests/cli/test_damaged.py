"""Whatever a hand does to the documents, a command says what is wrong; it's never our own fault."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.rollout.fake_fleet import DIED

SEEDS = 40
LOOKING = (
    *(["rollouts"], ["rollouts", "R1"], ["rollout", "status", "R2"], ["fleet"], ["lock"]),
    *(["history"], ["history", "verify"], ["explain", "web-01"], ["rollback", "--plan"]),
)
WRONG = (None, [1], {"x": 1}, "zz", 7, -1e300)


def _places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if at:
        yield at
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from _places(value[key], (*at, key))


def _damaged(value: Any, dice: random.Random) -> Any:
    """With one thing taken out of it, or put in the place of another."""
    damaged = copy.deepcopy(value)
    *above, last = dice.choice(list(_places(damaged)))
    within = damaged
    for key in above:
        within = within[key]
    if dice.random() < 1 / (len(WRONG) + 1):
        del within[last]
    else:
        within[last] = dice.choice(WRONG)
    return damaged


@pytest.fixture
def documents(evctl, world, nodes, new) -> dict[str, bytes]:
    """Of a fleet in which something has happened."""
    where = ("rollout", "--range", "role:web", "--to", new, "--bake", "0", "--yes")
    assert evctl(*where, "--reason", "why").code == 0
    nodes.fails = {("web-01", "evrelease.converge"): DIED}
    assert evctl("rollback", "--yes").code == 6
    assert evctl("lock", "--range", "db-01", "--reason", "disks").code == 0
    folder = world.root / "documents"
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.json")}
    return {name: body for name, body in found.items() if json.loads(body)}


def test_whatever_a_hand_has_damaged_is_told_as_such(evctl, world, documents):
    for seed in range(SEEDS):
        dice = random.Random(seed)
        name = dice.choice(sorted(documents))
        file = world.root / "documents" / name
        file.write_text(json.dumps(_damaged(json.loads(documents[name]), dice)))
        for command in LOOKING:
            ran = evctl(*command)
            assert ran.code != 1, f"{command} after {seed} in {name}: {ran.err}"
        file.write_bytes(documents[name])


def test_a_damaged_rollout_hides_none_of_the_others(evctl, world, documents):
    (world.root / "documents/rollouts/R000001.json").write_text("{")
    ran = evctl("rollouts")
    assert ran.code == 8
    assert "R000002 " in ran.out
    assert "the document of R000001 can't be read" in ran.out
    ran = evctl("rollouts", "--json")
    assert ran.code == 8
    said = json.loads(ran.out)
    assert [rollout["id"] for rollout in said["rollouts"]] == ["R000002"]
    assert [damaged["code"] for damaged in said["damaged"]] == ["E4004"]
