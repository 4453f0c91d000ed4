"""Where rollouts, locks and desired releases are kept. Every write is a compare-and-swap."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

from artifacts.objects import ObjectConflict, ObjectMissing, ObjectStore
from cli.rollout.document import FINAL, Document, decode, encode
from cli.rollout.errors import DocumentChanged, NodesHeld, NodesLocked, UnknownRollout
from cli.rollout.mappings import DESIRED, HOLDS, LOCKS, parsed

ATTEMPTS_MAX = 50
_KEY = re.compile(r"rollouts/(R\d{6,})\.json", re.ASCII)


@dataclass(frozen=True)
class Desired:
    """What nodes should run: a node's own entry, else its role's."""

    nodes: dict[str, str]
    roles: dict[str, str]

    def release_for(self, node: str, role: str) -> str | None:
        return self.nodes.get(node) or self.roles.get(role)


@dataclass(frozen=True)
class Kept:
    """A document as it is kept, with the etag that its next version must match."""

    document: Document
    etag: str


class Documents:
    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def create(self, make: Callable[[str], Document]) -> Kept:
        """Keep a new rollout under the next free id: R000001, R000002, …"""
        for _ in range(ATTEMPTS_MAX):
            number = max((int(rollout[1:]) for rollout in self.ids()), default=0) + 1
            document = make(f"R{number:06d}")
            try:
                etag = self._objects.put(_key(document.id), encode(document), if_absent=True)
            except ObjectConflict:
                continue
            return Kept(document, etag)
        raise DocumentChanged("no free id for a rollout", why="others took them", next_step="again")

    def change(self, kept: Kept, change: Callable[[Document], Document]) -> Kept:
        """The document, changed; when someone else wrote it meanwhile, theirs is changed instead.
        What `change` raises leaves it as it is."""
        for _ in range(ATTEMPTS_MAX):
            changed = change(kept.document)
            try:
                etag = self._objects.put(_key(changed.id), encode(changed), if_match=kept.etag)
            except ObjectConflict:
                kept = self.load(changed.id)
                continue
            return Kept(changed, etag)
        raise DocumentChanged(
            f"{kept.document.id} keeps changing", why="many write it", next_step="try again"
        )

    def load(self, rollout_id: str) -> Kept:
        try:
            found = self._objects.get(_key(rollout_id))
        except ObjectMissing as error:
            known = self.ids()
            raise UnknownRollout(
                f"there is no rollout {rollout_id or repr(rollout_id)}",
                why=f"the last one is {known[-1]}" if known else "there is none at all",
                next_step="evctl rollouts",
            ) from error
        return Kept(_decoded(found.body, rollout_id), found.etag)

    def ids(self) -> list[str]:
        """Oldest first. A copy that someone has left beside them is none."""
        return [read[1] for key in self._objects.list("rollouts/") if (read := _KEY.fullmatch(key))]

    def desired(self) -> Desired:
        return _desired(self._read(DESIRED)[0])

    def want(self, nodes: Mapping[str, str | None]) -> None:
        """What these nodes should run from now on; None: what their role or the channel says."""

        def change(raw: dict[str, Any]) -> dict[str, Any]:
            desired = _desired(raw)
            merged = {**desired.nodes, **nodes}
            kept = {node: release for node, release in merged.items() if release}
            return asdict(replace(desired, nodes=kept))

        self._update(DESIRED, change)

    def lock(
        self, nodes: Iterable[str], rollout: str, now: float, lease_s: float, driver: str = ""
    ) -> None:
        """Take or renew these nodes for a rollout and its driver. NodesLocked: another driver is at
        work on one, or another rollout, which may be paused or left by its driver, hasn't ended."""
        named = list(nodes)

        def change(locks: dict[str, Any]) -> dict[str, Any]:
            looked_at = None
            for node in named:
                held = locks.get(node)
                if held and held != looked_at:  # mostly they are all alike
                    self._refuse_held(node, held, rollout, now, driver)
                    looked_at = held
            taken = {"rollout": rollout, "driver": driver, "expires_at": round(now + lease_s, 3)}
            return {**locks, **dict.fromkeys(named, taken)}

        self._update(LOCKS, change)

    def _refuse_held(
        self, node: str, held: dict[str, Any], rollout: str, now: float, driver: str
    ) -> None:
        holder = str(held["rollout"])
        left_s = held["expires_at"] - now
        if left_s > 0 and (holder != rollout or held.get("driver", "") != driver):
            found = self._found(holder)
            raise NodesLocked(
                f"{node} is locked by {holder}",
                why=f"{f'it is of {found.operator}; ' if found else ''}"
                f"{held.get('driver') or 'its driver'} is at work; its lease is for "
                f"{left_s:.0f} s more, unless renewed",
                # `evctl drift --mend` takes nodes too, and is no rollout.
                next_step=f"evctl rollouts {holder}" if found else "wait for its end; try again",
            )
        if holder != rollout and (found := self._found(holder)) and found.state not in FINAL:
            raise NodesLocked(
                f"{node} is locked by {holder}",
                why=f"it is of {found.operator}; it is {found.state} and nobody drives it",
                next_step=found.ways_on(),
            )

    def _found(self, rollout: str) -> Document | None:
        try:
            return self.load(rollout).document
        except UnknownRollout:
            return None

    def holders(self, now: float) -> dict[str, str]:
        """Node → the rollout that is at work on it."""
        locks = self._read(LOCKS)[0]
        return {n: str(held["rollout"]) for n, held in locks.items() if held["expires_at"] > now}

    def is_left(self, document: Document, now: float) -> bool:
        """Whether it has not ended, and nobody drives it."""
        return document.state not in FINAL and document.id not in self.holders(now).values()

    def expired_locks(self, now: float) -> dict[str, str]:
        """Node → who had it, and has ended without giving it back."""
        locks = self._read(LOCKS)[0]
        left = {n: str(held["rollout"]) for n, held in locks.items() if held["expires_at"] <= now}
        return {
            node: holder
            for node, holder in left.items()
            if (found := self._found(holder)) is None or found.state in FINAL
        }

    def holder(self, node: str, now: float) -> str | None:
        """The rollout that is at work on this node."""
        return self.holders(now).get(node)

    def spoken_for(self) -> set[str]:
        """Releases that a rollout names which hasn't ended, also one whose driver has died."""
        every = (self.load(rollout_id).document for rollout_id in self.ids())
        return {
            release
            for document in every
            if document.state not in FINAL
            for record in document.nodes.values()
            for release in record.releases()
        }

    def unlock(self, rollout: str) -> None:
        """It has ended: its nodes are free."""
        self._update(
            LOCKS,
            lambda locks: {n: held for n, held in locks.items() if held["rollout"] != rollout},
        )

    def leave(self, rollout: str, driver: str) -> None:
        """This driver stops. The nodes stay the rollout's, for another driver to go on with."""
        self._update(
            LOCKS,
            lambda locks: {
                node: {**held, "expires_at": 0}
                if (held["rollout"], held.get("driver", "")) == (rollout, driver)
                else held
                for node, held in locks.items()
            },
        )

    def hold(self, nodes: Iterable[str], operator: str, reason: str, now: float) -> None:
        """No rollout may begin on these nodes: an operator's own lock, without an end."""
        held = {"operator": operator, "reason": reason, "at": round(now, 3)}
        self._update(HOLDS, lambda holds: {**holds, **dict.fromkeys(nodes, held)})

    def let_go(self, nodes: Iterable[str]) -> None:
        gone = set(nodes)
        self._update(HOLDS, lambda holds: {n: h for n, h in holds.items() if n not in gone})

    def holds(self) -> dict[str, dict[str, Any]]:
        """Node → {"operator", "reason", "at"}."""
        return dict(sorted(self._read(HOLDS)[0].items()))

    def refuse_held_by_hand(self, nodes: Iterable[str]) -> None:
        """NodesHeld when an operator has locked one."""
        holds = self.holds()
        for node in nodes:
            if held := holds.get(node):
                raise NodesHeld(
                    f"{node} is locked by {held['operator']}",
                    why=held["reason"],
                    next_step=f"evctl unlock --range {node}, or leave it out of the range",
                )

    def _read(self, key: str) -> tuple[dict[str, Any], str | None]:
        try:
            found = self._objects.get(key)
        except ObjectMissing:
            return {}, None
        return parsed(key, found.body), found.etag

    def _update(self, key: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        for _ in range(ATTEMPTS_MAX):
            before, etag = self._read(key)
            after = change(before)
            if after == before:
                return
            body = json.dumps(after, indent=1, sort_keys=True).encode()
            try:
                self._objects.put(key, body, if_match=etag, if_absent=etag is None)
            except ObjectConflict:
                continue
            return
        raise DocumentChanged(f"{key} keeps changing", why="many write it", next_step="try again")


def _key(rollout_id: str) -> str:
    return f"rollouts/{rollout_id}.json"


# As with `parsed`: read once a process.
_decoded = lru_cache(maxsize=4)(decode)


def _desired(raw: dict[str, Any]) -> Desired:
    return Desired(nodes=raw.get("nodes", {}), roles=raw.get("roles", {}))
