"""`evrelease.prune`, as Salt runs it on a node: what its pillar says is spoken for stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.foreign.lone_node import LoneNode, lone_node
from tests.states.conftest import REPOSITORY, Call
from tests.states.pillars import folder_pillar


@pytest.fixture
def node(tmp_path: Path) -> Iterator[LoneNode]:
    """Its toolkit is this repository's. It keeps nothing but what it must."""
    with lone_node() as made:
        made.configure(keep=0)
        toolkit = made.root / "opt/evctl/toolkit"
        toolkit.mkdir(parents=True)
        (toolkit / "artifacts").symlink_to(REPOSITORY / "artifacts")
        _tell(tmp_path, made)
        yield made


def _tell(folder: Path, node: LoneNode, **told: Any) -> None:
    """What the master answers from now on, when the node asks."""
    (folder / "pillar").mkdir(exist_ok=True)
    (folder / "pillar/top.sls").write_text("base: {'*': [told]}")
    (folder / "pillar/told.sls").write_text(yaml.safe_dump(folder_pillar(node.root, **told)))


def test_what_the_master_says_is_spoken_for_is_kept(
    node: LoneNode, call: Call, tmp_path: Path
) -> None:
    named, pinned, old, serves = (node.publish(f"1.{number}.0") for number in range(4))
    for release in (named, pinned, old):
        node.done("prefetch", release=release)
    node.done("converge", release=serves)

    for unknown in ({}, {"pinned": None}):
        _tell(tmp_path, node, **unknown)
        assert call("evrelease.prune", pinned=[pinned])["result"] == [], "the master can't tell"

    _tell(tmp_path, node, rollout="R000001", pinned=[named])
    done = call("evrelease.prune", pinned=[pinned])
    assert done["result"] == [old], done
    assert set(done["status"]["unpacked"]) == {named, pinned, serves}

    _tell(tmp_path, node, pinned=[])
    assert sorted(call("evrelease.prune")["result"]) == sorted([pinned, named])
    assert node.answers() == serves
