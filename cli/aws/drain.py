"""Nodes whose machines go: drained while their group's hook holds them; then the machine may end,
and the node is off the map, with its key.

Who is off the map is told no release any more, so nothing brings it back to its role meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.aws import node_map
from cli.aws.account import Absent, Account
from cli.aws.environment import Environment
from cli.aws.groups import DRAIN_HOOK
from cli.aws.join import alive
from cli.desired import Nodes
from cli.fleet import Fleet
from cli.rollout.ask import answer_of
from cli.salt_master import SaltMaster

HELD = "Terminating:Wait"
RETIRE_S = 600.0  # salt's own answer ends it earlier when the node is silent


@dataclass(frozen=True)
class Leaver:
    """group: whose hook holds its machine; None: the machine has gone already."""

    node: str
    instance: str
    group: str | None


@dataclass(frozen=True)
class Left:
    """drained_s: how long it took; None: it could not be drained, or was gone. why: then."""

    node: str
    drained_s: float | None
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"node": self.node, "drained_s": self.drained_s, "why": self.why}


def leavers(account: Account, fleet: Fleet, env: Environment) -> list[Leaver]:
    """Of the nodes that `evctl aws join` has put on the map for this environment."""
    place = env.prefix[:-1]
    ours = sorted(node.id for node in fleet.nodes().values() if place in node.groups)
    running = {one["InstanceId"] for one in alive(account, env)}
    held = dict(_held(account, env))
    found = []
    for node in ours:
        instance = f"i-{node.rpartition('-i-')[2]}"
        if instance in held or instance not in running:
            found.append(Leaver(node, instance, held.get(instance)))
    return found


def _held(account: Account, env: Environment) -> Iterator[tuple[str, str]]:
    """Machine → its group, of those that wait for the hook."""
    names = [f"{env.prefix}{role}" for role in env.groups]
    found = account.all(
        "autoscaling",
        "describe_auto_scaling_groups",
        "AutoScalingGroups",
        AutoScalingGroupNames=names,
    )
    for group in found:
        for one in group["Instances"]:
            if one["LifecycleState"] == HELD:
                yield one["InstanceId"], group["AutoScalingGroupName"]


def let_go(account: Account, fleet: Fleet, client: Nodes, leaver: Leaver) -> Left:
    """One of them. A node that can't be drained is put back, until its hook's time is over."""
    facts = node_map.remove(fleet.config.nodes, leaver.node)
    drained_s, why = None, "its machine had gone"
    if leaver.group is not None:
        drained_s, why = _retire(client, leaver.node)
        if drained_s is None:
            node_map.add(fleet.config.nodes, {leaver.node: facts})
            return Left(leaver.node, None, why)
        _let_end(account, leaver.group, leaver.instance)
    fleet.documents().want({leaver.node: None})
    master = SaltMaster(fleet.config.salt_master_config, fleet.config.network_namespace)
    # Not by salt-key, which has every node of the fleet log in anew: this one's machine is gone.
    (Path(master.options()["pki_dir"]) / "minions" / leaver.node).unlink(missing_ok=True)
    return Left(leaver.node, drained_s, why)


def _retire(client: Nodes, node: str) -> tuple[float | None, str]:
    """How long it took to drain, or None, and why it could not be."""
    (returned,) = client.call([node], "evrelease.retire", {}, RETIRE_S)
    answer = answer_of(returned)
    if answer.ok and answer.result and answer.result["drained"]:
        return float(answer.result["drain_s"]), ""
    error = answer.error or {"what": "it had to be killed"}
    return None, f"{error.get('what')} {error.get('why', '')}".strip()


def _let_end(account: Account, group: str, instance: str) -> None:
    with suppress(Absent):  # its time was over meanwhile
        account.call(
            "autoscaling",
            "complete_lifecycle_action",
            AutoScalingGroupName=group,
            LifecycleHookName=DRAIN_HOOK,
            InstanceId=instance,
            LifecycleActionResult="CONTINUE",
        )
