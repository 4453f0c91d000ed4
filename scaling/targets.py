"""What the autoscaler aims at, unless its settings say otherwise, and how they say it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from scaling.decide import Target

NODES_MAX = 1000
DEFAULTS: Mapping[str, Target] = {
    "collector": Target(floor=2, ceiling=10, requests_per_s=5000),
    "processor": Target(floor=2, ceiling=20, oldest_s=30),
    "postprocessor": Target(floor=1, ceiling=3, oldest_s=60),
}
_BOUNDS = {
    "floor": (1, NODES_MAX),
    "ceiling": (1, NODES_MAX),
    "requests_per_s": (0, 1e6),
    "cpu_cores": (0, 1000),
    "oldest_s": (0, 86_400),
    "up_s": (0, 86_400),
    "down_s": (0, 86_400),
}


class BadTargets(ValueError):
    """Settings of targets that can't be meant; the message names role, key and bounds."""


def targets_of(document: object) -> Mapping[str, Target]:
    """{role: {key: number}} over the defaults; a role that isn't named keeps its own."""
    if not isinstance(document, dict):
        raise BadTargets("expected roles with their targets, like {processor: {ceiling: 8}}")
    unknown = sorted(str(role) for role in document if role not in DEFAULTS)
    if unknown:
        raise BadTargets(f"{unknown[0]}: expected one of {', '.join(DEFAULTS)}")
    return {role: _target(role, one, document.get(role, {})) for role, one in DEFAULTS.items()}


def _target(role: str, target: Target, document: object) -> Target:
    if not isinstance(document, dict):
        raise BadTargets(f"{role}: expected numbers by name, like {{ceiling: 8}}")
    for key, value in document.items():
        if key not in _BOUNDS:
            raise BadTargets(f"{role}: {key!r}: expected one of {', '.join(_BOUNDS)}")
        low, high = _BOUNDS[key]
        whole = key in ("floor", "ceiling")
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            raise BadTargets(f"{role}: {key}: {value!r}: expected a {'whole ' * whole}number")
        if not low <= value <= high:
            raise BadTargets(f"{role}: {key}: {value!r}: expected {low:g} to {high:g}")
    target = dataclasses.replace(target, **document)
    if target.floor > target.ceiling:
        raise BadTargets(f"{role}: a floor of {target.floor} is above its ceiling")
    return target
