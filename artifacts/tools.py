"""A role's tools: what an app offers to ask it with, run on a node of the role.

A tool runs from the node's current release, with that release's own environment and with the
settings of the role; as the role's user, since nobody else may read them. It is bounded in time and
in what it says: its answer travels through Salt.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from artifacts.install import argv_of
from artifacts.layout import Layout
from artifacts.node_errors import NotUnpacked, ToolNotOffered, ToolStopped

TOOL_S = 60.0
OUTPUT_BYTES_MAX = 256 * 1024  # Salt's largest event has a megabyte, and JSON escapes
LOOK_S = 0.05


def run_tool(
    layout: Layout,
    node: str,
    role: str,
    name: str,
    arguments: Sequence[str],
    *,
    variables: Mapping[str, str],
    timeout_s: float = TOOL_S,
) -> dict[str, Any]:
    """{"exit", "out", "err"}. NotUnpacked, ToolNotOffered; ToolStopped when it is too slow, or says
    too much: then it is killed. variables: the node's own, beside those of the contract."""
    release = layout.current(role)
    if release is None:
        raise NotUnpacked(
            f"no release serves as {role} on this node yet",
            next_step="evctl rollout --range NODE --to RELEASE",
        )
    offered = layout.manifest(release).roles.get(role, {}).get("tools", {})
    if name not in offered:
        raise ToolNotOffered(
            f"release {release} offers no tool {str(name)[:80]!r} for {role}",
            why=f"it offers {', '.join(sorted(offered)) or 'none'}",
            next_step="roll out a release that does",
        )
    folder, settings = layout.release(release), layout.root / f"etc/evctl/{role}.yaml"
    argv = (*argv_of(folder, tuple(offered[name]["command"])), *arguments)
    env = {**environment(node, role, release, settings), **variables}
    return _run(argv, folder / "app", env, _user_of(settings), timeout_s)


def environment(node: str, role: str, release: str, settings: Path) -> dict[str, str]:
    """All that a tool gets: what a generation gets of it, without sockets."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "EV_NODE": node,
        "EV_ROLE": role,
        "EV_RELEASE": release,
        "EV_SETTINGS": str(settings),
    }


def _user_of(settings: Path) -> dict[str, Any]:
    """Whose the settings are, where this process may become that user."""
    owner = settings.stat().st_uid
    if os.geteuid() == owner:
        return {}
    return {"user": owner, "group": pwd.getpwuid(owner).pw_gid, "extra_groups": []}


def _run(
    argv: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    user: Mapping[str, Any],
    timeout_s: float,
) -> dict[str, Any]:
    deadline = time.monotonic() + timeout_s
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with subprocess.Popen(
            argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            start_new_session=True, umask=0o077, **user,
        ) as process:  # fmt: skip
            why = _until_it_ends(process, (out, err), deadline, timeout_s)
            if why:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        why = why or _too_much(out, err)
        if why:
            raise ToolStopped(
                f"the tool was stopped: {why}", next_step="ask for less, or run it on the node"
            )
        return {"exit": process.returncode, "out": _text(out), "err": _text(err)}


def _until_it_ends(
    process: subprocess.Popen[bytes], said: Sequence[IO[bytes]], deadline: float, timeout_s: float
) -> str:
    """Why it must be stopped; "" when it has ended."""
    while time.monotonic() < deadline:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(LOOK_S)
            return ""
        if why := _too_much(*said):
            return why
    return f"it did not end within {timeout_s:g} s"


def _too_much(*said: IO[bytes]) -> str:
    if sum(os.fstat(one.fileno()).st_size for one in said) > OUTPUT_BYTES_MAX:
        return f"it said more than {OUTPUT_BYTES_MAX} bytes"
    return ""


def _text(said: IO[bytes]) -> str:
    said.seek(0)
    return said.read(OUTPUT_BYTES_MAX).decode("utf-8", "replace")
