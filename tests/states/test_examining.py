"""`evrelease.examine`, as Salt runs it on a node: what `evctl doctor` is told."""

from __future__ import annotations

import time
from pathlib import Path

from artifacts.examine import toolkit_digest
from tests.foreign.lone_node import LoneNode
from tests.states.conftest import REPOSITORY, Call, tell


def test_what_a_node_says_of_itself(node: LoneNode, call: Call, tmp_path: Path) -> None:
    tell(tmp_path, node, problem="no release on channel stable for web")
    before = time.time()
    said = call("evrelease.examine")
    assert said["ok"], said
    result = said["result"]
    assert before <= result["clock"] <= time.time()
    assert result["toolkit"] == toolkit_digest(REPOSITORY / "artifacts")
    assert result["salt"].startswith("3008")
    assert result["pillar"] == ["no release on channel stable for web"]
    assert result["registry"] is None
    assert result["disk_free_bytes"] > 0

    tell(tmp_path, node)
    node.configure(registry="file:///nowhere")
    result = call("evrelease.examine")["result"]
    assert result["pillar"] == []
    assert result["registry"]["code"] == "E2003"
