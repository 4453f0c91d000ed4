"""What the fleet's autoscalers say: how many nodes there should be of each role, and why."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from artifacts.errors import EvctlError
from cli.fleet import NodeInfo
from cli.rollout.ask import answer_of
from cli.salt_client import Return

ROLE = "autoscaler"
ASK_S = 15.0


class NobodyDecides(EvctlError):
    code = "E3501"
    exit_code = 7
    explanation = (
        "No node of the role autoscaler says how many nodes there should be: there is none, or none"
        " of them answers, or the one that decided has gone and the next one's time hasn't come."
        " The nodes stay as they are."
    )


class Nodes(Protocol):
    """SaltClient, or what stands in for it."""

    def call(
        self, nodes: Collection[str], function: str, kwargs: Mapping[str, Any], timeout_s: float
    ) -> Iterator[Return]: ...


@dataclass(frozen=True)
class Said:
    """node: the one that decides. roles: role → {"desired", "why", "signals", "state"}. changes:
    the last decisions that changed a number, the oldest first."""

    node: str
    at: float
    roles: Mapping[str, Mapping[str, Any]]
    changes: list[dict[str, Any]]

    @property
    def desired(self) -> dict[str, int]:
        return {role: int(one["desired"]) for role, one in self.roles.items()}


def ask_autoscalers(client: Nodes, fleet: Mapping[str, NodeInfo]) -> Said:
    """What the one that decides has decided last. NobodyDecides."""
    asked = [node.id for node in fleet.values() if node.role == ROLE]
    found, said_no = [], []
    for returned in client.call(asked, "evrelease.desired", {}, ASK_S) if asked else ():
        answer = answer_of(returned)
        answers = list((answer.result or {}).values())
        found += [
            Said(returned.node, one["at"], one["roles"], one["changes"])
            for one in answers
            if one.get("decides")
        ]
        if not answers:
            said_no.append(f"{returned.node}: {(answer.error or {}).get('what', 'serves nothing')}")
        elif not found:
            said_no.append(f"{returned.node}: stands by")
    if not found:
        raise NobodyDecides(
            "no autoscaler decides",
            why=", ".join(said_no) or f"no node has the role {ROLE}",
            next_step="evctl status",
        )
    return max(found, key=lambda one: one.at)
