"""node.yaml and the supervisor's role files: what is taken, and what is refused in which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from artifacts.layout import Layout
from artifacts.node_config import load_node
from artifacts.node_errors import NodeSettingsError
from artifacts.supervisor_roles import load_role

GOOD: dict[str, Any] = {
    "id": "web-01",
    "role": "web",
    "root": "/srv/web-01",
    "registry": "file:///srv/registry",
    "trust": {"k1": "a2V5"},
    "services": "supervisor",
}


def written(folder: Path, **changed: Any) -> Path:
    path = folder / "node.yaml"
    settings = {key: value for key, value in (GOOD | changed).items() if value != "absent"}
    path.write_text(yaml.safe_dump(settings))
    return path


def test_defaults(tmp_path: Path) -> None:
    config = load_node(written(tmp_path))
    assert (config.id, config.role, config.root) == ("web-01", "web", Path("/srv/web-01"))
    assert config.run == Path("/srv/web-01/run/evctl")
    assert (config.keep, config.python) == (3, None)


def test_all_keys(tmp_path: Path) -> None:
    config = load_node(
        written(tmp_path, role=None, run="/tmp/x", keep=0, python="/opt/python", lock_wait_s=1)
    )
    assert config.role is None
    assert (config.run, config.keep, config.lock_wait_s) == (Path("/tmp/x"), 0, 1.0)
    assert config.python == Path("/opt/python")
    assert load_node(written(tmp_path, environment={"A": "b"})).environment == {"A": "b"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("id", "absent"),
        ("id", 3),
        ("role", ""),
        ("root", "relative"),
        ("run", "/" + "x" * 60),
        ("registry", "absent"),
        ("trust", {}),
        ("trust", {"k1": 1}),
        ("trust", "absent"),
        ("services", "upstart"),
        ("keep", -1),
        ("keep", "many"),
        ("keep", True),
        ("python", "python3"),
        ("lock_wait_s", 1e9),
        ("environment", ["A"]),
        ("environment", {"A": 1}),
        ("environment", {"A=B": "c"}),
        ("environment", {"A": "b\nc"}),
        ("colour", "green"),
    ],
)
def test_a_bad_key_is_named_with_its_file(tmp_path: Path, key: str, value: object) -> None:
    path = written(tmp_path, **{key: value})
    with pytest.raises(NodeSettingsError) as raised:
        load_node(path)
    assert f"{path}: `{key}`" in raised.value.what
    assert raised.value.next_step


@pytest.mark.parametrize(
    "text", ["", "- a", "a: [", "1: 2", "x" * 300_000, "!!python/object:os.x {}"]
)
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "node.yaml"
    path.write_text(text)
    with pytest.raises(NodeSettingsError, match=r"node\.yaml"):
        load_node(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NodeSettingsError, match=r"can't read .*node\.yaml"):
        load_node(tmp_path / "node.yaml")


ROLE: dict[str, Any] = {"role": "web", "node": "web-01", "listen": "127.0.0.1:8090"}


def role_written(root: Path, **changed: Any) -> Layout:
    layout = Layout(root, root / "run")
    layout.supervisor_roles.mkdir(parents=True)
    (layout.supervisor_roles / "web.yaml").write_text(yaml.safe_dump(ROLE | changed))
    return layout


def test_role_defaults(tmp_path: Path) -> None:
    role = load_role(role_written(tmp_path), "web")
    assert (role.node, role.listen, role.env) == ("web-01", ("127.0.0.1", 8090), {})
    assert role.settings == tmp_path / "etc/evctl/web.yaml"


def test_role_with_all_keys(tmp_path: Path) -> None:
    role = load_role(
        role_written(tmp_path, listen="[::1]:80", settings="/etc/x", env={"A": "b"}), "web"
    )
    assert (role.listen, role.settings, role.env) == (("::1", 80), Path("/etc/x"), {"A": "b"})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("role", "other"),
        ("node", None),
        ("listen", "8090"),
        ("listen", "localhost:8090"),
        ("listen", "127.0.0.1:0"),
        ("listen", "127.0.0.1:70000"),
        ("settings", "relative"),
        ("env", {"A": 1}),
        ("env", ["A"]),
        ("command", ["rm"]),
    ],
)
def test_a_bad_role_key_is_named(tmp_path: Path, key: str, value: object) -> None:
    layout = role_written(tmp_path, **{key: value})
    with pytest.raises(NodeSettingsError, match=f"web.yaml: `{key}`"):
        load_role(layout, "web")


@pytest.mark.parametrize("role", ["../../etc/passwd", "", "A", "a" * 40, "a/b"])
def test_a_role_is_never_a_path(tmp_path: Path, role: str) -> None:
    with pytest.raises(NodeSettingsError, match="can't be a role's name"):
        load_role(Layout(tmp_path, tmp_path), role)
