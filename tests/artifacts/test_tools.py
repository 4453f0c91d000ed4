"""A role's tools, on a real node: as the release says, as the role's user, and bounded."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from artifacts.node_errors import ToolStopped
from artifacts.tools import OUTPUT_BYTES_MAX, environment, run_tool
from tests.foreign.lone_node import LoneNode, lone_node

NOBODY = 65534


@pytest.fixture(scope="module")
def node() -> Iterator[LoneNode]:
    with lone_node() as made:
        release = made.publish("1.0.0")
        made.done("prefetch", release=release)
        made.done("activate", release=release)
        yield made


def ask(node: LoneNode, *arguments: str, name: str = "ask") -> dict[str, Any]:
    return dict(node.done("tool", name=name, arguments=list(arguments)))


def test_it_runs_from_the_current_release_with_the_roles_settings(node: LoneNode) -> None:
    found = ask(node, "x", "--json", "a b;$(c)")
    said = json.loads(found["out"])
    assert (found["exit"], found["err"]) == (0, "asked\n")
    assert said["arguments"] == ["x", "--json", "a b;$(c)"]
    release = node.layout.current("web")
    assert release is not None
    settings = node.root / "etc/evctl/web.yaml"
    expected = environment(node.engine.node, "web", release, settings)
    assert expected.items() <= said["environment"].items()
    assert not {"NOTIFY_SOCKET", "LISTEN_FDS", "EV_ADMIN_SOCKET"} & set(said["environment"])
    assert said["folder"] == str(node.layout.release(release) / "app")
    assert said["settings"] == settings.read_text()


def test_it_gets_the_variables_of_its_node(node: LoneNode) -> None:
    node.configure(environment={"COLOUR": "dark green"})
    try:
        assert json.loads(ask(node)["out"])["environment"]["COLOUR"] == "dark green"
    finally:
        node.configure()


def test_its_exit_code_is_passed_on(node: LoneNode) -> None:
    assert ask(node, "exit", "3")["exit"] == 3


def test_a_tool_that_nobody_offers(node: LoneNode) -> None:
    error = node.error("tool", name="rm", arguments=[])
    assert error["code"] == "E1204"
    assert "it offers ask" in error["why"]
    assert node.error("tool", name=True, arguments=[])["code"] == "E1204"


def test_one_that_does_not_end_is_killed(node: LoneNode) -> None:
    with pytest.raises(ToolStopped, match="did not end within"):
        run_tool(node.layout, "n", "web", "ask", ["hang"], variables={}, timeout_s=0.5)


def test_one_that_says_too_much_is_killed(node: LoneNode) -> None:
    error = node.error("tool", name="ask", arguments=["flood"])
    assert error["code"] == "E1401"
    assert str(OUTPUT_BYTES_MAX) in error["what"]


def test_it_runs_as_the_user_whose_the_settings_are(node: LoneNode) -> None:
    if os.geteuid() != 0:
        pytest.skip("not run: needs root, to become another user")
    settings = node.root / "etc/evctl/web.yaml"
    for folder in (node.base, node.root):
        folder.chmod(0o755)
    settings.chmod(0o400)
    os.chown(settings, NOBODY, -1)
    try:
        assert json.loads(ask(node)["out"])["user"] == NOBODY
    finally:
        os.chown(settings, 0, -1)


def test_a_node_on_which_nothing_serves_yet(node: LoneNode) -> None:
    node.configure(role="other")
    try:
        assert node.error("tool", name="ask", arguments=[])["code"] == "E1201"
        node.configure(role=None)
        assert node.error("tool", name="ask", arguments=[])["code"] == "E1002"
    finally:
        node.configure()
