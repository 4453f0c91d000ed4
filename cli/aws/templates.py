"""EC2 launch templates, one a role. A change is a new version, which is the default from then on:
nodes that come after it have it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from cli.aws.account import Absent, Account, as_pairs, from_pairs
from cli.aws.change import Present, Properties, Resource
from cli.aws.environment import Environment
from cli.aws.user_data import user_data

KIND = "template"


def wanted(env: Environment) -> list[Resource]:
    return [
        Resource(
            KIND,
            f"{env.prefix}{role}",
            {
                "image": group.image,
                "instance": group.instance,
                "instance_profile": group.instance_profile,
                "security_groups": sorted(group.security_groups),
                "imds": "v2 only, with tags",
                "user_data": user_data(
                    f"{env.app}-{env.env}", role, env.master or "", group.install
                ),
            },
        )
        for role, group in env.groups.items()
    ]


class Templates:
    """Implements kind.Kind."""

    def __init__(self, account: Account, tags: Mapping[str, str]) -> None:
        self._account = account
        self._tags = dict(tags)

    def names(self, prefix: str) -> list[str]:
        begins = [{"Name": "launch-template-name", "Values": [f"{prefix}*"]}]
        found = self._account.all(
            "ec2", "describe_launch_templates", "LaunchTemplates", Filters=begins
        )
        return [one["LaunchTemplateName"] for one in found]

    def look(self, name: str) -> Present | None:
        try:
            (template,) = self._call("describe_launch_templates", LaunchTemplateNames=[name])[
                "LaunchTemplates"
            ]
            (version,) = self._call(
                "describe_launch_template_versions",
                LaunchTemplateName=name,
                Versions=["$Default"],
            )["LaunchTemplateVersions"]
        except Absent:
            return None
        tags = from_pairs(template.get("Tags", []))
        return Present(self._tags.items() <= tags.items(), _read(version["LaunchTemplateData"]))

    def create(self, wanted: Resource) -> None:
        self._call(
            "create_launch_template",
            LaunchTemplateName=wanted.name,
            LaunchTemplateData=_data(wanted.properties),
            TagSpecifications=[{"ResourceType": "launch-template", "Tags": as_pairs(self._tags)}],
        )

    def change(self, wanted: Resource, differs: Properties) -> None:  # noqa: ARG002 -- all at once
        made = self._call(
            "create_launch_template_version",
            LaunchTemplateName=wanted.name,
            LaunchTemplateData=_data(wanted.properties),
        )
        self._call(
            "modify_launch_template",
            LaunchTemplateName=wanted.name,
            DefaultVersion=str(made["LaunchTemplateVersion"]["VersionNumber"]),
        )

    def holds(self, name: str) -> str:  # noqa: ARG002 -- its group does
        return ""

    def delete(self, name: str) -> None:
        self._call("delete_launch_template", LaunchTemplateName=name)

    def _call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        return self._account.call("ec2", operation, **arguments)


def _data(properties: Properties) -> dict[str, Any]:
    return {
        "ImageId": properties["image"],
        "InstanceType": properties["instance"],
        "IamInstanceProfile": {"Name": properties["instance_profile"]},
        "SecurityGroupIds": properties["security_groups"],
        "MetadataOptions": {
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": 1,
            "InstanceMetadataTags": "enabled",
        },
        "UserData": base64.b64encode(properties["user_data"].encode()).decode(),
    }


def _read(data: Mapping[str, Any]) -> dict[str, Any]:
    asked = data.get("MetadataOptions", {})
    closed = asked.get("HttpTokens") == "required"
    tagged = asked.get("InstanceMetadataTags") == "enabled"
    return {
        "image": data.get("ImageId"),
        "instance": data.get("InstanceType"),
        "instance_profile": data.get("IamInstanceProfile", {}).get("Name"),
        "security_groups": sorted(data.get("SecurityGroupIds", [])),
        "imds": f"v{'2 only' if closed else '1'}{', with tags' * tagged}",
        "user_data": base64.b64decode(data.get("UserData", "")).decode(errors="replace"),
    }
