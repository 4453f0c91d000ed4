"""New machines of an environment's groups become nodes: on the master's map, with a one-time token
each. What a machine does with it: user_data.py."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cli import tokens
from cli.aws import node_map
from cli.aws.account import Account, as_pairs, from_pairs
from cli.aws.environment import Environment
from cli.aws.groups import ROLE_TAG
from cli.aws.user_data import TOKEN_TAG
from cli.fleet import Fleet
from cli.salt_master import SaltMaster

ALIVE = ["pending", "running"]


@dataclass(frozen=True)
class Machine:
    """An EC2 instance that one of the environment's groups has launched."""

    instance: str
    role: str
    az: str
    address: str

    @property
    def node(self) -> str:
        return f"{self.role}-{self.instance}"

    def to_json(self) -> dict[str, Any]:
        return {"node": self.node, **asdict(self)}


def newcomers(account: Account, env: Environment) -> list[Machine]:
    """Those that were given no token yet."""
    machines = []
    for one in alive(account, env):
        tags = from_pairs(one["Tags"])
        if tags.get(ROLE_TAG) in env.groups and TOKEN_TAG not in tags:
            where = one["Placement"]["AvailabilityZone"]
            address = one["PrivateIpAddress"]
            machines.append(Machine(one["InstanceId"], tags[ROLE_TAG], where, address))
    return sorted(machines, key=lambda machine: machine.node)


def alive(account: Account, env: Environment) -> list[dict[str, Any]]:
    """The environment's machines that boot or run, as EC2 describes them."""
    filters = [{"Name": f"tag:{key}", "Values": [value]} for key, value in env.tags.items()]
    filters.append({"Name": "instance-state-name", "Values": ALIVE})
    found = account.all("ec2", "describe_instances", "Reservations", Filters=filters)
    return [instance for reservation in found for instance in reservation["Instances"]]


def join(account: Account, env: Environment, fleet: Fleet, machines: Collection[Machine]) -> None:
    """Each in the group <app>-<env> of the map. The map first: a token is no use to a node that
    isn't on it. Cut short, the next one goes on from there. FleetError, MasterUnreachable,
    MasterRefused, what Account.call raises."""
    config = fleet.config
    master = SaltMaster(config.salt_master_config, config.network_namespace)
    folder = Path(master.options()["autosign_grains_dir"])
    known = fleet.nodes()
    node_map.add(
        config.nodes,
        {
            one.node: {
                "role": one.role,
                "az": one.az,
                "address": one.address,
                "groups": [env.prefix[:-1]],
            }
            for one in machines
            if one.node not in known
        },
    )
    for one in machines:
        token = tokens.issue(folder, one.node)
        tag = as_pairs({TOKEN_TAG: token})
        account.call("ec2", "create_tags", Resources=[one.instance], Tags=tag)
