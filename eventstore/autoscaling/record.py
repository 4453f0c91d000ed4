"""A decision as it is written down, and as it is answered: plain data, there and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from scaling.decide import Decision, RoleState, Signals

CHANGES_KEPT = 100


def decided(
    decision: Decision, signals: Mapping[str, Signals], at: float, before: Mapping[str, Any]
) -> dict[str, Any]:
    """{"at", "roles": {role: {"desired", "why", "signals", "state"}}, "changes": [{"at", "role",
    "from", "to", "why"}]}, the oldest change first. before: what was decided last."""
    was = states_of(before)
    changes = [
        {
            "at": at,
            "role": role,
            "from": was[role].desired,
            "to": decision.desired[role],
            "why": decision.reasons[role],
        }
        for role in sorted(decision.changed)
    ]
    return {
        "at": at,
        "roles": {
            role: {
                "desired": decision.desired[role],
                "why": decision.reasons[role],
                "signals": dataclasses.asdict(signals[role]) if role in signals else None,
                "state": dataclasses.asdict(state),
            }
            for role, state in decision.state.items()
        },
        "changes": [*before.get("changes", []), *changes][-CHANGES_KEPT:],
    }


def states_of(said: Mapping[str, Any]) -> dict[str, RoleState]:
    """What the next decision goes on from, whoever made the last one; in whichever release: what
    this one doesn't know is left out."""
    return {role: _state(one["state"]) for role, one in said.get("roles", {}).items()}


def _state(said: Mapping[str, Any]) -> RoleState:
    names = {one.name for one in dataclasses.fields(RoleState)}
    known = {name: value for name, value in said.items() if name in names}
    return RoleState(**{**known, "needs": tuple(map(tuple, said.get("needs", ())))})
