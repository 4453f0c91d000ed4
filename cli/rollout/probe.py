"""What the app says of itself as a whole while a wave bakes: its probe, a tool of one of its roles.

Its exit code says what a gate says: 0 passes, 75 holds, anything else fails. When no node can run
it now, nothing is known: it holds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Protocol

from artifacts.gates import PROBE
from artifacts.tools import TOOL_S
from cli.rollout.document import Probe
from cli.rollout.gates import Verdict
from cli.salt_client import Return

HOLD_EXIT = 75  # EX_TEMPFAIL of sysexits.h: not now
SAID_CHARS_MAX = 300
# What Salt and the node need beside the tool's own time.
SLACK_S = 15.0


class Nodes(Protocol):
    """Who can be asked: salt_client.SaltClient."""

    def call(
        self,
        nodes: Collection[str],
        function: str,
        kwargs: Mapping[str, Any],
        timeout_s: float,
    ) -> Iterator[Return]: ...


def ask_probe(nodes: Nodes, probe: Probe | None) -> Verdict | None:
    """None: there is nothing to ask. Of its nodes the next one is asked when one can't run it."""
    if probe is None or probe.missing:
        return None
    asked = {"name": probe.tool, "arguments": list(probe.arguments)}
    why = "no node"
    for node in probe.nodes:
        for returned in nodes.call([node], "evrelease.tool", asked, TOOL_S + SLACK_S):
            said = returned.data if isinstance(returned.data, dict) else {}
            if said.get("ok"):
                result = said["result"]
                return verdict_of(PROBE, result["exit"], result["out"], result["err"])
            error = said.get("error") or {"what": returned.error}
            why = f"{node}: {error.get('what')}"
    return Verdict("held", f"{PROBE}: nothing is known: {why}")


def verdict_of(name: str, exit_code: int, out: str, err: str) -> Verdict:
    """By its exit code; the last line that it printed is told."""
    lines = (out.strip() or err.strip()).splitlines()
    said = f"{name}: {lines[-1][:SAID_CHARS_MAX] if lines else f'exit code {exit_code}'}"
    if exit_code == HOLD_EXIT:
        return Verdict("held", said)
    return Verdict("failed" if exit_code else "passed", said)
