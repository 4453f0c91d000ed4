"""`evrelease.drift` and `evrelease.mend`, as Salt runs them on a node."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.foreign.lone_node import LoneNode
from tests.states.conftest import Call, tell


@pytest.fixture
def web(node: LoneNode, call: Call, tmp_path: Path) -> LoneNode:
    """A node that became its role by its states, and serves what its pillar says."""
    release = node.publish("1.0.0")
    host, port = node.engine.address
    tell(
        tmp_path,
        node,
        id=node.engine.node,
        role="web",
        address=host,
        port=port,
        release=release,
        trust=node.trust,
        registry=f"file://{node.registry}",
        run=str(node.engine.run),
    )
    (node.root / "opt/evctl/toolkit/artifacts").unlink()
    done = call("state.apply")
    assert all(one["result"] for one in done.values()), done
    return node


def test_a_setting_that_was_changed_is_found_and_mended(web: LoneNode, call: Call) -> None:
    settings = web.root / "etc/evctl/web.yaml"
    settings.chmod(0o600)
    settings.write_text("port: 1")
    toolkit = web.root / "opt/evctl/toolkit/artifacts/swap.py"
    toolkit.write_text(toolkit.read_text() + "# a hotfix")
    found = call("evrelease.drift")
    assert found["ok"], found
    assert found["result"]["files"] == []
    states = found["result"]["states"]
    assert len(states) == 2, "and nothing else"
    assert any(said.startswith(str(settings)) for said in states)
    assert any("toolkit/artifacts" in said for said in states)

    assert call("evrelease.mend")["ok"]
    assert settings.read_text() != "port: 1"
    assert "hotfix" not in toolkit.read_text()


def test_states_that_do_not_render_are_an_error(node: LoneNode, call: Call, tmp_path: Path) -> None:
    tell(tmp_path, node, services="nothing that there are states for")
    assert call("evrelease.mend")["error"]["code"] == "E1003"
