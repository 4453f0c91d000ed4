"""`evrelease.prune`, as Salt runs it on a node: what its pillar says is spoken for stays."""

from __future__ import annotations

from pathlib import Path

from tests.foreign.lone_node import LoneNode
from tests.states.conftest import Call, tell


def test_what_the_master_says_is_spoken_for_is_kept(
    node: LoneNode, call: Call, tmp_path: Path
) -> None:
    node.configure(keep=0)
    named, pinned, old, serves = (node.publish(f"1.{number}.0") for number in range(4))
    for release in (named, pinned, old):
        node.done("prefetch", release=release)
    node.done("converge", release=serves)

    for unknown in ({}, {"pinned": None}):
        tell(tmp_path, node, **unknown)
        assert call("evrelease.prune", pinned=[pinned])["result"] == [], "the master can't tell"

    tell(tmp_path, node, rollout="R000001", pinned=[named])
    done = call("evrelease.prune", pinned=[pinned])
    assert done["result"] == [old], done
    assert set(done["status"]["unpacked"]) == {named, pinned, serves}

    tell(tmp_path, node, pinned=[])
    assert sorted(call("evrelease.prune")["result"]) == sorted([pinned, named])
    assert node.answers() == serves
