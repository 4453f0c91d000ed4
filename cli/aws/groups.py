"""Auto scaling groups, one a role. How many nodes there are between min and max is not said here:
that is the autoscaler's. A node that is to go waits for its hook until it was drained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cli.aws.account import Absent, Account, from_pairs
from cli.aws.change import Present, Properties, Resource
from cli.aws.environment import Environment

KIND = "group"
DRAIN_HOOK = "evctl-drain"
ROLE_TAG = "evctl-role"


def wanted(env: Environment) -> list[Resource]:
    return [
        Resource(
            KIND,
            f"{env.prefix}{role}",
            {
                "role": role,
                "template": f"{env.prefix}{role}",
                "subnets": sorted(group.subnets),
                "min": group.min,
                "max": group.max,
                "drain_s": group.drain_s,
            },
        )
        for role, group in env.groups.items()
    ]


class Groups:
    """Implements kind.Kind."""

    def __init__(self, account: Account, tags: Mapping[str, str]) -> None:
        self._account = account
        self._tags = dict(tags)

    def names(self, prefix: str) -> list[str]:
        found = self._account.all(
            "autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups"
        )
        names = [one["AutoScalingGroupName"] for one in found]
        return [name for name in names if name.startswith(prefix)]

    def look(self, name: str) -> Present | None:
        group = self._group(name)
        if group is None or "Status" in group:  # it has one while it is being deleted only
            return None
        tags = from_pairs(group.get("Tags", []))
        properties = {
            "role": tags.get(ROLE_TAG),
            "template": group.get("LaunchTemplate", {}).get("LaunchTemplateName"),
            "subnets": sorted(group.get("VPCZoneIdentifier", "").split(",")),
            "min": group["MinSize"],
            "max": group["MaxSize"],
            "drain_s": self._drain_s(name),
        }
        return Present(self._tags.items() <= tags.items(), properties)

    def create(self, wanted: Resource) -> None:
        """Empty at first: no node comes before the hook is there that lets it go in peace."""
        self._call(
            "create_auto_scaling_group",
            **_setting(wanted),
            MinSize=0,
            MaxSize=0,
            Tags=self._group_tags(wanted),
        )
        self.change(wanted, wanted.properties)

    def change(self, wanted: Resource, differs: Properties) -> None:
        if "role" in differs:
            self._call("create_or_update_tags", Tags=self._group_tags(wanted))
        if "drain_s" in differs:
            self._call(
                "put_lifecycle_hook",
                AutoScalingGroupName=wanted.name,
                LifecycleHookName=DRAIN_HOOK,
                LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING",
                HeartbeatTimeout=wanted.properties["drain_s"],
                DefaultResult="CONTINUE",
            )
        if differs.keys() - {"role", "drain_s"}:
            self._call(
                "update_auto_scaling_group",
                **_setting(wanted),
                MinSize=wanted.properties["min"],
                MaxSize=wanted.properties["max"],
            )

    def holds(self, name: str) -> str:
        group = self._group(name)
        nodes = len(group["Instances"]) if group else 0
        return f"{nodes} nodes" if nodes else ""

    def delete(self, name: str) -> None:
        self._call("delete_auto_scaling_group", AutoScalingGroupName=name, ForceDelete=True)

    def _group(self, name: str) -> dict[str, Any] | None:
        asked = self._call("describe_auto_scaling_groups", AutoScalingGroupNames=[name])
        return next(iter(asked["AutoScalingGroups"]), None)

    def _drain_s(self, name: str) -> int | None:
        try:
            hooks = self._call("describe_lifecycle_hooks", AutoScalingGroupName=name)
        except Absent:
            return None
        found = {one["LifecycleHookName"]: one for one in hooks["LifecycleHooks"]}
        return found[DRAIN_HOOK]["HeartbeatTimeout"] if DRAIN_HOOK in found else None

    def _group_tags(self, wanted: Resource) -> list[dict[str, Any]]:
        """Its nodes bear them too."""
        tags = {**self._tags, ROLE_TAG: wanted.properties["role"]}
        of = {"ResourceId": wanted.name, "ResourceType": "auto-scaling-group"}
        return [
            {**of, "Key": key, "Value": value, "PropagateAtLaunch": True}
            for key, value in tags.items()
        ]

    def _call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        return self._account.call("autoscaling", operation, **arguments)


def _setting(wanted: Resource) -> dict[str, Any]:
    template = wanted.properties["template"]
    return {
        "AutoScalingGroupName": wanted.name,
        "LaunchTemplate": {"LaunchTemplateName": template, "Version": "$Default"},
        "VPCZoneIdentifier": ",".join(wanted.properties["subnets"]),
    }
