"""What nodes say when they are asked: each of them once, all at the same time, within bounds."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from cli.fleet import Fleet
from cli.rollout.ask import answer_of
from cli.salt_client import SaltClient
from cli.salt_master import SaltMaster

ASK_S = 15.0


def client_of(fleet: Fleet) -> SaltClient:
    """One for the whole command: connecting to the master takes longer than asking a node."""
    return _client(SaltClient, fleet.config.salt_master_config, fleet.config.network_namespace)


@cache
def _client(kind: type[SaltClient], config: Path, network: str | None) -> SaltClient:
    return kind(config, network)


def ask(fleet: Fleet, nodes: Collection[str], spare: int = 0) -> dict[str, dict[str, Any]]:
    """Node → its status, with `state`: serving, idle, silent or failed. spare: so many needn't be
    waited for to the end."""
    found: dict[str, dict[str, Any]] = {}
    for returned in client_of(fleet).call(nodes, "evrelease.status", {}, ASK_S, spare):
        answer = answer_of(returned)
        if answer.ok and answer.result:
            state = "serving" if answer.result.get("release") else "idle"
            found[returned.node] = {"state": state, **answer.result}
        else:
            state = "silent" if answer.silent else "failed"
            found[returned.node] = {"state": state, "release": None, "error": answer.error}
    return dict(sorted(found.items()))


def metrics(fleet: Fleet, nodes: Collection[str]) -> dict[str, dict[str, str]]:
    """Node → release → the page of its generation, of the nodes that answer."""
    return {
        returned.node: answer.result or {}
        for returned in client_of(fleet).call(nodes, "evrelease.metrics", {}, ASK_S)
        if (answer := answer_of(returned)).ok
    }


class Asked:
    """The answers that a range needs (cli.ranges.meaning.Answers): asked when they are wanted, and
    once only, so that one expression never sees two moments."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.states = cache(self._states)
        self.matches = cache(self._matches)
        self.groups = cache(self._groups)

    def _states(self) -> Mapping[str, tuple[str, str | None]]:
        found = ask(self._fleet, self._fleet.nodes())
        return {node: (said["state"], said["release"]) for node, said in found.items()}

    def _groups(self) -> Mapping[str, tuple[str, ...]]:
        config = self._fleet.config
        master = SaltMaster(config.salt_master_config, config.network_namespace)
        return {
            node: groups_of(pillar) for node, pillar in master.pillars(self._fleet.nodes()).items()
        }

    def _matches(self, compound: str) -> Mapping[str, bool | None]:
        asked = {"compound": compound}
        told: dict[str, bool | None] = {}
        for returned in client_of(self._fleet).call(
            self._fleet.nodes(), "evrelease.matches", asked, ASK_S
        ):
            result = answer_of(returned).result
            told[returned.node] = bool(result["matches"]) if result else None
        return told


def groups_of(pillar: Mapping[str, Any]) -> tuple[str, ...]:
    """What a node's pillar names under `evctl:groups`: a list of names, or one."""
    said = (pillar.get("evctl") or {}).get("groups") or ()
    return (said,) if isinstance(said, str) else tuple(map(str, said))
