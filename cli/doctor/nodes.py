"""What the nodes say of themselves, one by one: all are asked at the same time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from artifacts.disk import needed_bytes
from cli.doctor.check import Check, doubtful, fine, wrong
from cli.ranges import fold

CLOCK_S = 2.0
SILENT_EXIT = 7


@dataclass(frozen=True)
class Examined:
    """A node's answer to evrelease.examine, or None; and when it was asked, and had answered."""

    asked_at: float
    answered_at: float
    said: Mapping[str, Any] | None
    error: Mapping[str, Any] | None = None

    def clock_off_s(self) -> float:
        """By how much its clock must be wrong at least: a slow answer proves nothing."""
        clock = float((self.said or {})["clock"])
        return max(self.asked_at - clock, clock - self.answered_at, 0.0)


@dataclass(frozen=True)
class Expected:
    """What nodes are compared with. wanted: node → release. at_work: nodes that a rollout changes
    just now. tarball_bytes: of the largest release that is wanted."""

    wanted: Mapping[str, str | None]
    at_work: frozenset[str]
    toolkit: str
    salt: str
    tarball_bytes: int


def check_nodes(examined: Mapping[str, Examined], expected: Expected) -> Iterator[Check]:
    sound = []
    for node, found in sorted(examined.items()):
        checks = list(_check(node, found, expected))
        yield from checks
        if not checks:
            sound.append(node)
    if sound:
        yield fine("nodes", f"{fold(sound)}: serve what they should, in step, with room and time")


def _check(node: str, found: Examined, expected: Expected) -> Iterator[Check]:
    if found.said is None:
        yield _unexamined(node, found.error)
        return
    said = found.said
    if node not in expected.at_work:
        yield from _check_release(node, said, expected.wanted.get(node))
    for problem in said["pillar"]:
        yield wrong(node, f"its pillar: {problem}", "mend it on the master: pillar/, nodes.yaml")
    if refused := said["registry"]:
        yield wrong(
            node, f"can't read the registry: {refused['what']}", refused["next"], SILENT_EXIT
        )
    if (off_s := found.clock_off_s()) > CLOCK_S:
        yield wrong(node, f"its clock is wrong by {off_s:.0f} s", f"set up NTP on {node}")
    if said["toolkit"] != expected.toolkit:
        yield doubtful(node, "its toolkit isn't the master's", f"salt {node} state.apply")
    if _numbers(said["salt"]) > _numbers(expected.salt):
        yield wrong(
            node,
            f"its Salt {said['salt']} is newer than the master's {expected.salt}",
            "bring the master to it: the master must be the newest",
        )
    free, needed = int(said["disk_free_bytes"]), needed_bytes(expected.tarball_bytes)
    if free < needed:
        yield wrong(
            node,
            f"{free / 1e6:.0f} MB are free, another release needs {needed / 1e6:.0f} MB",
            f"free some; or: salt {node} evrelease.prune",
        )


def _unexamined(node: str, error: Mapping[str, Any] | None) -> Check:
    if error is None:
        mend = f"is {node} on? on it: systemctl status salt-minion"
        return wrong(node, "doesn't answer", mend, SILENT_EXIT)
    said = f"{error.get('code', '')} {error.get('what', '')}".strip()
    return wrong(node, said, str(error.get("next") or f"salt {node} state.apply"), SILENT_EXIT)


def _check_release(node: str, said: Mapping[str, Any], wanted: str | None) -> Iterator[Check]:
    serves = said.get("release")
    if serves != wanted:
        yield wrong(
            node,
            f"serves {serves or 'nothing'}, and should serve {wanted or 'nothing'}",
            f"it converges within a minute; why it can't: salt {node} evrelease.converge",
            SILENT_EXIT,
        )
    for generation in said["generations"]:
        if not generation["ready"]:
            yield wrong(
                node,
                f"its generation of {generation['release']} isn't ready ({generation['state']})",
                f"journalctl -u 'ev-*' on {node}; evctl rollback",
                SILENT_EXIT,
            )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
