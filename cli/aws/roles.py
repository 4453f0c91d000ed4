"""IAM roles of an environment's machines, each with its policy and an instance profile of its name.

`evctl aws roles` makes these, and nothing else: whoever decides over rights does so knowingly. So
they are no part of a plan, apply or destroy (decision 18).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from cli.aws.account import Absent, Account, as_pairs, from_pairs
from cli.aws.change import Change, Present, Properties, Resource, compare
from cli.aws.environment import Environment
from cli.aws.errors import EnvironmentFileError

KIND = "role"
POLICY = "evctl"  # the one that is in the role itself
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "ec2.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


def wanted(env: Environment, account_id: str) -> list[Resource]:
    """EnvironmentFileError, when a policy's file isn't one."""
    words = {"REGION": env.region, "ACCOUNT": account_id, "APP-ENV-": env.prefix}
    return [
        Resource(
            KIND,
            f"{env.prefix}{name}",
            {"trust": TRUST, "policy": _policy(name, Path(file), words), "profile": True},
        )
        for name, file in env.roles.items()
    ]


class Roles:
    """Looked at, made and changed as other kinds are (kind.Kind), and never deleted."""

    def __init__(self, account: Account, tags: Mapping[str, str]) -> None:
        self._account = account
        self._tags = dict(tags)

    def look(self, name: str) -> Present | None:
        try:
            role = self._call("get_role", RoleName=name)["Role"]
        except Absent:
            return None
        properties: dict[str, Any] = {
            "trust": role["AssumeRolePolicyDocument"],
            "policy": None,
            "profile": name in (self._profile(name) or ()),
        }
        with suppress(Absent):
            found = self._call("get_role_policy", RoleName=name, PolicyName=POLICY)
            properties["policy"] = found["PolicyDocument"]
        tags = from_pairs(role.get("Tags", []))
        return Present(self._tags.items() <= tags.items(), properties)

    def create(self, wanted: Resource) -> None:
        self._call(
            "create_role",
            RoleName=wanted.name,
            AssumeRolePolicyDocument=json.dumps(wanted.properties["trust"]),
            Tags=as_pairs(self._tags),
        )
        self.change(wanted, {"policy": True, "profile": True})

    def change(self, wanted: Resource, differs: Properties) -> None:
        name = wanted.name
        if "trust" in differs:
            document = json.dumps(wanted.properties["trust"])
            self._call("update_assume_role_policy", RoleName=name, PolicyDocument=document)
        if "policy" in differs:
            document = json.dumps(wanted.properties["policy"])
            self._call("put_role_policy", RoleName=name, PolicyName=POLICY, PolicyDocument=document)
        if "profile" in differs:
            if self._profile(name) is None:
                tags = as_pairs(self._tags)
                self._call("create_instance_profile", InstanceProfileName=name, Tags=tags)
            self._call("add_role_to_instance_profile", InstanceProfileName=name, RoleName=name)

    def _profile(self, name: str) -> list[str] | None:
        """The roles in the profile of this name; None: there is none."""
        try:
            found = self._call("get_instance_profile", InstanceProfileName=name)
        except Absent:
            return None
        return [one["RoleName"] for one in found["InstanceProfile"]["Roles"]]

    def _call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        return self._account.call("iam", operation, **arguments)


def planned(env: Environment, account: Account) -> list[tuple[Resource, Change]]:
    """Each role that there should be, and what has to be done for it."""
    kind = Roles(account, env.tags)
    return [
        (one, compare(one, kind.look(one.name))) for one in wanted(env, account.id(env.account))
    ]


def _policy(name: str, path: Path, words: Mapping[str, str]) -> dict[str, Any]:
    try:
        text = path.read_text()
        for word, meant in words.items():
            text = text.replace(word, meant)
        document = json.loads(text)
    except (OSError, ValueError) as error:
        raise EnvironmentFileError(
            f"roles.{name}: {path} is no policy",
            why=" ".join(str(error).split()),
            next_step="name a file of IAM's JSON, as seen from this folder",
        ) from error
    if not isinstance(document, dict) or "Statement" not in document:
        raise EnvironmentFileError(
            f"roles.{name}: {path} is no policy",
            why="it has no Statement",
            next_step="write it as docs/aws/collector.json is",
        )
    return document
