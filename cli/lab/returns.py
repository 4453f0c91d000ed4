"""How a node's first highstate ended, from the master's own record of jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cli.lab.spec import Lab

READY = "ready"


def first_since(lab: Lab, node_id: str, since: float) -> str | None:
    """`ready`, or what went wrong in words, or None as long as nothing was returned.

    since: Unix seconds; earlier returns are of an earlier boot.
    """
    for path in (lab.master_root / "cache" / "jobs").glob(f"*/*/{node_id}/return.p"):
        try:
            if path.stat().st_mtime >= since and (outcome := _outcome(path)):
                return outcome
        except FileNotFoundError:
            continue  # the master tidies up as well
    return None


def _outcome(path: Path) -> str | None:
    import salt.exceptions
    import salt.payload

    try:
        with path.open("rb") as file:
            returned: Any = salt.payload.load(file)
    except salt.exceptions.SaltDeserializationError:
        return None  # the master is still writing it
    states = returned.get("return", returned) if isinstance(returned, dict) else returned
    if isinstance(states, list):
        return f"not ready: {'; '.join(map(str, states))}"
    if not isinstance(states, dict):
        return None
    chunks = [chunk for chunk in states.values() if isinstance(chunk, dict) and "result" in chunk]
    failed = [chunk for chunk in chunks if chunk["result"] is False]
    if failed:
        return f"not ready: {failed[0]['__id__']}: {failed[0]['comment']}"
    nothing_to_run = [chunk for chunk in chunks if chunk["__id__"] == "evctl-role-none"]
    if nothing_to_run:
        return f"joined; {nothing_to_run[0]['name']}"
    return READY if chunks else None
