"""The states, applied for real to a folder: what they write, and that nothing is left to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.foreign.lone_node import LoneNode
from tests.states.conftest import REPOSITORY, Call, tell
from tests.states.pillars import folder_pillar


def apply(call: Call, state: str, pillar: dict[str, Any]) -> list[str]:
    """Apply one state; the ids that changed something."""
    done = call("state.apply", state, pillar=pillar)
    assert isinstance(done, dict), done
    failed = {name: chunk["comment"] for name, chunk in done.items() if not chunk["result"]}
    assert not failed
    return [chunk["__id__"] for chunk in done.values() if chunk["changes"]]


def test_the_toolkit_reaches_the_node_and_is_kept_in_step(call: Call, tmp_path: Path) -> None:
    root = tmp_path / "node"
    pillar = folder_pillar(root)
    assert apply(call, "toolkit", pillar)
    toolkit = root / "opt/evctl/toolkit/artifacts"
    shipped = {path.name for path in toolkit.glob("*.py")}
    assert shipped == {path.name for path in (REPOSITORY / "artifacts").glob("*.py")}
    (toolkit / "stray.py").write_text("")
    (toolkit / "node.py").write_text("# changed by hand")
    assert apply(call, "toolkit", pillar) == ["evctl-toolkit-code"]
    assert not (toolkit / "stray.py").exists()
    assert apply(call, "toolkit", pillar) == []


def test_the_node_learns_who_it_is(call: Call, tmp_path: Path) -> None:
    root = tmp_path / "node"
    apply(call, "toolkit", folder_pillar(root))
    node = yaml.safe_load((root / "etc/evctl/node.yaml").read_text())
    assert (node["id"], node["role"], node["root"]) == ("node-01", "collector", str(root))
    assert node["trust"] == {"k1": "key"}


def test_settings_are_the_roles_own_and_private(call: Call, tmp_path: Path) -> None:
    root = tmp_path / "node"
    settings = {"collector": {"token": "t"}, "processor": {"token": "p"}}
    pillar = folder_pillar(root, settings=settings)
    assert apply(call, "role.settings", pillar)[-1] == "evctl-role-settings"
    file = root / "etc/evctl/collector.yaml"
    assert yaml.safe_load(file.read_text()) == {"token": "t"}
    assert file.stat().st_mode & 0o077 == 0
    assert apply(call, "role.settings", pillar) == []


def test_a_node_from_before_the_first_release_becomes_its_role_with_it(
    node: LoneNode, call: Call, tmp_path: Path
) -> None:
    release = node.publish("1.0.0")
    host, port = node.engine.address
    told = yaml.safe_load(node.config.read_text())
    del told["root"]
    settings = node.root / "etc/evctl/web.yaml"
    settings.unlink()
    tell(tmp_path, node, **told, release=release, address=host, port=port, settings={})
    done = call("evrelease.converge", release=release)
    assert done["ok"], done
    assert settings.exists()
    assert node.answers() == release
