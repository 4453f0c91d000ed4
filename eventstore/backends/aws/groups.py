"""Auto Scaling groups, one a role: which nodes there are, and how many there shall be.

A group itself launches machines and takes them away; one that is to go waits for its lifecycle
hook, until it was drained (`evctl aws drain`, on the Salt master).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from eventstore.backends.aws.calls import Calls
from eventstore.backends.aws.place import Place
from eventstore.backends.aws.retries import Retries
from eventstore.errors import EngineUnavailable, SettingsError

log = logging.getLogger("eventstore.groups")
PORT = "port"
DESCRIBED_MAX = 100
GOING = "Terminating"  # and what comes after that, such as Terminating:Wait


class Groups:
    """What the autoscaler needs of them: who there is, and the hands that change it.

    urls: role → asg://<group>?region=<region>&port=<the role's port>. Raises SettingsError.
    """

    def __init__(self, urls: Mapping[str, str], retries: Retries) -> None:
        places = {role: Place.of(url, "asg", (PORT,)) for role, url in urls.items()}
        self._names = {role: place.name for role, place in places.items()}
        self._ports = {role: _port(place) for role, place in places.items()}
        any_place = next(iter(places.values()))
        if len({place.region for place in places.values()}) > 1:
            raise SettingsError("scaling_groups: expected all of them in one region")
        self._scaling = Calls("autoscaling", any_place, retries)
        self._ec2 = Calls("ec2", any_place, retries)

    def __call__(self) -> dict[str, tuple[str, ...]]:
        """Role → http://address:port of its machines, whether they serve yet or not; without those
        that are about to go. Raises EngineUnavailable."""
        found: dict[str, tuple[str, ...]] = {}
        for role, group in self._groups().items():
            there = [
                one["InstanceId"]
                for one in group["Instances"]
                if not one["LifecycleState"].startswith(GOING)
            ]
            port = self._ports[role]
            found[role] = tuple(f"http://{one}:{port}" for one in self._addresses(there))
        return found

    def set_desired(self, desired: Mapping[str, int]) -> None:
        """Within each group's own bounds, which are not the autoscaler's to change."""
        for role, group in self._groups().items():
            if role not in desired:
                continue
            wanted = min(max(desired[role], group["MinSize"]), group["MaxSize"])
            if wanted != desired[role]:
                log.warning("%s: %d wanted, its group has %d", role, desired[role], wanted)
            if wanted != group["DesiredCapacity"]:
                self._scaling(
                    "set_desired_capacity",
                    AutoScalingGroupName=self._names[role],
                    DesiredCapacity=wanted,
                    HonorCooldown=False,
                )

    def close(self) -> None:
        self._scaling.close()
        self._ec2.close()

    def _groups(self) -> dict[str, dict[str, Any]]:
        answer = self._scaling(
            "describe_auto_scaling_groups", AutoScalingGroupNames=sorted(self._names.values())
        )
        there = {one["AutoScalingGroupName"]: one for one in answer["AutoScalingGroups"]}
        missing = [name for name in self._names.values() if name not in there]
        if missing:
            raise EngineUnavailable(
                f"asg://{missing[0]}: there is no such group; make it (evctl aws apply), or mend"
                " name and region in scaling_groups"
            )
        return {role: there[name] for role, name in self._names.items()}

    def _addresses(self, instances: list[str]) -> list[str]:
        found: list[str] = []
        for first in range(0, len(instances), DESCRIBED_MAX):
            some = instances[first : first + DESCRIBED_MAX]
            answer = self._ec2("describe_instances", InstanceIds=some)
            machines = [one for part in answer["Reservations"] for one in part["Instances"]]
            found += [one["PrivateIpAddress"] for one in machines if one.get("PrivateIpAddress")]
        return sorted(found)


def _port(place: Place) -> int:
    text = place.options.get(PORT, "")
    if not (text.isdecimal() and 0 < int(text) < 65536):
        raise SettingsError(f"{place.url!r}: expected &port=<the role's port>")
    return int(text)
