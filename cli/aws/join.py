"""New machines of an environment's groups become nodes: on the master's map, with a one-time token
each. What a machine does with it: user_data.py."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from cli import tokens
from cli.aws.account import Account, as_pairs, from_pairs
from cli.aws.environment import Environment
from cli.aws.groups import ROLE_TAG
from cli.aws.user_data import TOKEN_TAG
from cli.fleet import Fleet, FleetError
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
    filters = [{"Name": f"tag:{key}", "Values": [value]} for key, value in env.tags.items()]
    found = account.all(
        "ec2",
        "describe_instances",
        "Reservations",
        Filters=[*filters, {"Name": "instance-state-name", "Values": ALIVE}],
    )
    machines = []
    for one in (instance for reservation in found for instance in reservation["Instances"]):
        tags = from_pairs(one["Tags"])
        if tags.get(ROLE_TAG) in env.groups and TOKEN_TAG not in tags:
            where = one["Placement"]["AvailabilityZone"]
            address = one["PrivateIpAddress"]
            machines.append(Machine(one["InstanceId"], tags[ROLE_TAG], where, address))
    return sorted(machines, key=lambda machine: machine.node)


def join(account: Account, fleet: Fleet, machines: Collection[Machine]) -> None:
    """The map first: a token is no use to a node that isn't on it. Cut short, the next one goes on
    from there. FleetError, MasterUnreachable, MasterRefused, what Account.call raises."""
    config = fleet.config
    master = SaltMaster(config.salt_master_config, config.network_namespace)
    folder = Path(master.options()["autosign_grains_dir"])
    add_to_map(config.nodes, [one for one in machines if one.node not in fleet.nodes()])
    for one in machines:
        token = tokens.issue(folder, one.node)
        tag = as_pairs({TOKEN_TAG: token})
        account.call("ec2", "create_tags", Resources=[one.instance], Tags=tag)


def add_to_map(path: Path, machines: Collection[Machine]) -> None:
    """A line each at the end: what people wrote there stays as it is. FleetError."""
    added = {one.node: {"role": one.role, "az": one.az, "address": one.address} for one in machines}
    if not added:
        return
    before = path.read_text()
    lines = [f"{node}: {json.dumps(facts)}" for node, facts in added.items()]
    after = "\n".join([*before.splitlines(), *lines, ""])
    if not _is(after, {**(yaml.safe_load(before) or {}), **added}):
        raise FleetError(
            f"{path}: nodes can't be added to it",
            why="its end isn't `node: {…}`, one a line, as docs/operations.md has it",
            next_step="write it so",
        )
    aside = path.with_name(f"{path.name}.new")
    aside.write_text(after)
    shutil.copymode(path, aside)
    os.chown(aside, path.stat().st_uid, path.stat().st_gid)  # the master reads it too
    aside.rename(path)


def _is(text: str, meant: dict[str, Any]) -> bool:
    try:
        return bool(yaml.safe_load(text) == meant)
    except yaml.YAMLError:
        return False
