"""The states render to what a node needs, for every role, on machines and in folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import pytest

from tests.states.conftest import REPOSITORY, Call
from tests.states.pillars import folder_pillar, node_pillar

ROLES = ("collector", "processor", "postprocessor", "autoscaler", "web")


def states(rendered: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """{state id: its arguments, with `function` as `file.managed`}."""
    assert isinstance(rendered, dict), rendered
    found = {}
    for name, body in rendered.items():
        for module, arguments in body.items():
            if not module.startswith("__"):
                function = next(a for a in arguments if isinstance(a, str))
                flat = {k: v for a in arguments if isinstance(a, dict) for k, v in a.items()}
                found[f"{name}:{module}"] = flat | {"function": f"{module}.{function}"}
    return found


@pytest.mark.parametrize("role", ROLES)
def test_a_machine_becomes_its_role(call: Call, role: str) -> None:
    pillar = node_pillar(role=role)
    found = states(call("state.show_highstate", pillar=pillar))
    assert found["evctl-role-release:evrelease"]["name"] == "0.1.0-0123456789ab"
    assert found["evctl-role-unit-socket:file"]["name"] == f"/etc/systemd/system/ev-{role}.socket"
    node = found["evctl-toolkit-settings:file"]["dataset"]
    assert (node["id"], node["role"], node["services"]) == ("node-01", role, "systemd")


def test_a_machine_gets_the_toolkits_modules_for_salt(call: Call, tmp_path: Path) -> None:
    """By states: Salt's own way costs a new node a second of its processor."""
    found = states(call("state.show_highstate", pillar=node_pillar()))
    for kind in ("modules", "states"):
        brought = found[f"evctl-toolkit-{kind}:file"]
        assert brought["name"] == str(tmp_path / "minion/ext" / kind)
        assert brought["source"] == f"salt://_{kind}"
        assert brought["reload_modules"] is True


def test_a_machine_follows_its_masters_last_word(call: Call) -> None:
    found = states(call("state.show_highstate", pillar=node_pillar()))
    service = (REPOSITORY / "salt/role/files/last_word.service").read_text()
    assert "ExecStart=/opt/salt/bin/python -m artifacts.last_word\n" in service
    assert found["evctl-role-last-word-timer:file"]["name"].endswith("/evctl-last-word.timer")
    assert found["evctl-role-at-boot-timers:file"]["target"].endswith("/evctl-last-word.timer")
    trusted = {"fleet": "default", "trust": "key"}
    found = states(call("state.show_highstate", pillar=node_pillar(orders=trusted)))
    assert found["evctl-toolkit-settings:file"]["dataset"]["orders"] == trusted


@pytest.mark.parametrize("role", ROLES)
def test_a_folder_becomes_its_role(call: Call, tmp_path: Path, role: str) -> None:
    pillar = folder_pillar(tmp_path / "node", role=role)
    found = states(call("state.show_highstate", pillar=pillar))
    touched = [s["name"] for s in found.values() if s["function"].startswith("file.")]
    own = (f"{tmp_path}/node/", f"{tmp_path}/minion/ext/")  # the node's, its minion's
    assert touched
    assert all(name.startswith(own) for name in touched)
    assert not any(name.startswith(("evctl-role-user", "evctl-role-group")) for name in found)


def test_release_comes_after_all_that_it_needs(call: Call) -> None:
    found = states(call("state.show_highstate", pillar=node_pillar()))
    *_, release, follower = sorted(found, key=lambda name: found[name]["order"])
    assert release == "evctl-role-release:evrelease"
    assert follower == "evctl-role-last-word-runs:service", "it waits for the first release"


def test_a_node_that_the_master_does_not_know_is_told_so(call: Call) -> None:
    found = states(call("state.show_highstate", pillar={}))
    assert found["evctl-node-unknown:test"]["function"] == "test.fail_without_changes"
    assert "token" in found["evctl-node-unknown:test"]["name"]


def test_a_node_without_a_release_gets_the_toolkit_and_the_reason(call: Call) -> None:
    pillar = node_pillar(release=None, problem="the registry does not answer")
    found = states(call("state.show_highstate", pillar=pillar))
    assert "evctl-toolkit-code:file" in found
    assert "the registry does not answer" in found["evctl-role-none:test"]["name"]
    assert not any(name.startswith("evctl-role-unit") for name in found)


def unit(name: str, **changes: Any) -> list[str]:
    pillar = node_pillar(**changes)["evctl"]
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701 - systemd units, not HTML
    text = (REPOSITORY / "salt/role/files" / f"{name}.jinja").read_text()
    return (
        environment.from_string(text)
        .render(
            evctl=pillar,
            role="collector",
            listen="10.77.0.11:8080",
            admin_socket="/run/evctl/collector",
        )
        .splitlines()
    )


def test_nothing_may_ever_close_the_socket() -> None:
    lines = unit("socket")
    assert {"RefuseManualStop=yes", "TriggerLimitIntervalSec=0", "FlushPending=no"} <= set(lines)
    assert "ListenStream=10.77.0.11:8080" in lines
    assert "Service=ev-collector.service" in lines
    for name in ("anchor", "generation"):
        assert "StartLimitIntervalSec=0" in unit(name)


def test_anchor_ends_and_never_remains() -> None:
    lines = unit("anchor")
    assert "Type=oneshot" in lines
    assert not any(line.startswith("RemainAfterExit") for line in lines)
    assert any("systemctl start --no-block" in line for line in lines)


def test_variables_of_the_node_reach_its_generations_and_tools(call: Call, tmp_path: Path) -> None:
    variables = {"COLOUR": "dark green", "SHARE": '5 "%"'}
    assert {
        'Environment="COLOUR=dark green"',
        r'Environment="SHARE=5 \"%%\""',
    } <= set(unit("generation", environment=variables))
    pillar = folder_pillar(tmp_path / "node", environment=variables)
    found = states(call("state.show_highstate", pillar=pillar))
    assert found["evctl-role-supervisor:file"]["dataset"]["env"] == variables
    assert found["evctl-toolkit-settings:file"]["dataset"]["environment"] == variables


def test_generation_keeps_the_process_contract() -> None:
    lines = unit("generation")
    assert {"Type=notify", "NonBlocking=yes", "KillMode=mixed", "Restart=always"} <= set(lines)
    assert "ExecStart=/opt/evctl/releases/%i/roles/collector" in lines
    assert "TimeoutStartSec=15" in lines
    assert "TimeoutStopSec=10" in lines
    said = " ".join(line.removeprefix("Environment=") for line in lines if "EV_" in line)
    for name in (
        "EV_NODE",
        "EV_ROLE",
        "EV_RELEASE",
        "EV_SETTINGS",
        "EV_DRAIN_S",
        "EV_ADMIN_SOCKET",
    ):
        assert f"{name}=" in said
    assert "StateDirectory=evctl/collector" in lines  # STATE_DIRECTORY
    assert sum(line.startswith("Environment=") for line in lines) == 4
    assert not any(line.startswith("WantedBy") for line in lines)
