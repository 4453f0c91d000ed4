"""The supervisor: holds a node's listening sockets and runs its generations where there is no
systemd. `python -m artifacts.supervisor --root ROOT [--run RUN]`.

It gives processes the very contract that systemd gives them (docs/architecture.md). At its start
it starts what `current/<role>` names; on SIGTERM it drains all and ends. Its children never
outlive it, not even when it is killed. It is asked over the unix socket <run>/supervisor.sock:
one line of JSON in, one out; services_supervisor.py is its client.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from artifacts.errors import EvctlError
from artifacts.last_word import EVERY_S
from artifacts.layout import Layout, check_release_id
from artifacts.node_errors import NodeError, NodeSettingsError, RoleNotInRelease
from artifacts.services_supervisor import CONTROL
from artifacts.supervisor_generation import Plan, RunningGeneration
from artifacts.supervisor_roles import Listeners, known_roles, load_role

log = logging.getLogger("evctl.supervisor")

REQUEST_BYTES_MAX = 64 * 1024
REQUEST_WITHIN_S = 5.0
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Supervisor:
    """All generations of a node, by role and release."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._listeners = Listeners()
        self._running: dict[tuple[str, str], RunningGeneration] = {}

    async def start(self, role: str, release: str, ready_s: float) -> dict[str, Any]:
        """Until it said READY=1; {"failed": why, "lines": […]} and it is gone, when it doesn't."""
        key = (role, check_release_id(release))
        running = self._running.get(key)
        if running and running.stopping:
            await running.gone()
            running = None
        if running and running.describe().state == "serving":
            return {}
        if not running:
            running = self._launch(role, release, ready_s)
        why = await running.first
        if why is None:
            return {}
        await self._stop(key, running, min(ready_s, running.plan.drain_s))
        return {"failed": why, "lines": running.log.last_lines()}

    async def stop(self, role: str, release: str, drain_s: float) -> dict[str, Any]:
        """{"drained": False} when it had to be killed at its deadline."""
        running = self._running.get((role, release))
        if not running:
            return {"drained": True}
        return {"drained": await self._stop((role, release), running, drain_s)}

    def list(self, role: str) -> dict[str, Any]:
        found = [run.describe() for (of, _), run in self._running.items() if of == role]
        return {"generations": [asdict(generation) for generation in found]}

    def last_lines(self, role: str, release: str) -> dict[str, Any]:
        running = self._running.get((role, release))
        return {"lines": running.log.last_lines() if running else []}

    def boot(self) -> None:
        """Start what `current` names, for each role; one that can't start is tried on and on."""
        for role in known_roles(self._layout):
            release = self._layout.current(role)
            try:
                if release is not None:
                    self._launch(role, release, None)
            except (EvctlError, OSError) as error:
                log.error("%s %s does not start at boot: %s", role, release, error)

    async def close(self) -> None:
        """Drain everything, all at once, each within its own time."""
        await asyncio.gather(
            *(self._stop(key, run, run.plan.drain_s) for key, run in list(self._running.items()))
        )
        self._listeners.close()

    def _launch(self, role: str, release: str, ready_s: float | None) -> RunningGeneration:
        settings = load_role(self._layout, role)
        manifest_role = self._layout.manifest(release).roles.get(role)
        if manifest_role is None:
            raise RoleNotInRelease(f"release {release} has no role {role}")
        drain_s = float(manifest_role["drain_s"])
        try:
            listener = self._listeners.get(settings)
        except OSError as error:
            address = ":".join(map(str, settings.listen))
            raise NodeError(
                f"{role} can't have {address}",
                why=error.strerror or str(error),
                next_step=f"find who holds it: ss -ltnp 'sport = :{settings.listen[1]}'",
            ) from error
        state = self._layout.state(role)
        state.mkdir(parents=True, exist_ok=True)
        plan = Plan(
            role=role,
            release=release,
            program=self._layout.release(release) / "roles" / role,
            env={
                "PATH": PATH,
                "LC_ALL": "C.UTF-8",
                "PYTHONDONTWRITEBYTECODE": "1",
                "EV_NODE": settings.node,
                "EV_ROLE": role,
                "EV_RELEASE": release,
                "EV_SETTINGS": str(settings.settings),
                "EV_DRAIN_S": f"{drain_s:g}",
                "EV_ADMIN_SOCKET": str(self._layout.admin_socket(role, release)),
                "STATE_DIRECTORY": str(state),
                **settings.env,
            },
            ready_s=float(manifest_role["ready_s"]) if ready_s is None else ready_s,
            drain_s=drain_s,
            notify=self._layout.run / f"{role}-{release}.ntf",
            log=self._layout.log(role, release),
        )
        running = RunningGeneration(plan, listener)
        self._running[(role, release)] = running
        return running

    async def _stop(self, key: tuple[str, str], running: RunningGeneration, drain_s: float) -> bool:
        drained = await running.stop(drain_s)
        if self._running.get(key) is running:
            del self._running[key]
        self._layout.admin_socket(*key).unlink(missing_ok=True)
        return drained


async def answer(supervisor: Supervisor, line: bytes) -> dict[str, Any]:
    """One request: {"do": "start"|"stop"|"list"|"log", "role", "release", "ready_s", "drain_s"}.

    {"error": EvctlError.to_json()} when it can't be done.
    """
    try:
        return await _do(supervisor, json.loads(line))
    except EvctlError as error:
        return {"error": error.to_json()}
    except (ValueError, OSError) as error:
        return {"error": NodeError("the supervisor can't do that", why=str(error)).to_json()}


async def _do(supervisor: Supervisor, request: dict[str, Any]) -> dict[str, Any]:
    match request:
        case {"do": "start", "role": str(role), "release": str(release), "ready_s": float(ready_s)}:
            return await supervisor.start(role, release, ready_s)
        case {"do": "stop", "role": str(role), "release": str(release), "drain_s": float(drain_s)}:
            return await supervisor.stop(role, release, drain_s)
        case {"do": "list", "role": str(role)}:
            return supervisor.list(role)
        case {"do": "log", "role": str(role), "release": str(release)}:
            return supervisor.last_lines(role, release)
    raise NodeError("the supervisor doesn't know this request")


async def keep_following(layout: Layout, every_s: float) -> None:
    """What systemd's timer does: the node follows its master's last word while that is silent."""
    settings = layout.root / "etc/evctl/node.yaml"
    while True:
        await asyncio.sleep(every_s)
        if not settings.exists():
            continue
        command = (sys.executable, "-m", "artifacts.last_word", "--settings", str(settings))
        following = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL)
        try:
            await following.wait()
        finally:
            if following.returncode is None:
                following.kill()


async def serve(layout: Layout, follow_every_s: float = EVERY_S) -> None:
    """Hold sockets, run generations, answer requests, until SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    supervisor = Supervisor(layout)

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):
            line = await asyncio.wait_for(reader.readline(), REQUEST_WITHIN_S)
            writer.write(json.dumps(await answer(supervisor, line)).encode() + b"\n")
            await asyncio.wait_for(writer.drain(), REQUEST_WITHIN_S)
        writer.close()

    supervisor.boot()  # whoever gets through to it finds the roles' sockets held
    control = layout.run / CONTROL
    control.unlink(missing_ok=True)
    before = os.umask(0o177)
    server = await asyncio.start_unix_server(on_connection, control, limit=REQUEST_BYTES_MAX)
    os.umask(before)
    log.info("supervising %s, asked at %s", layout.root, control)
    following = asyncio.create_task(keep_following(layout, follow_every_s))
    await stop.wait()
    following.cancel()
    server.close()
    await supervisor.close()
    control.unlink(missing_ok=True)
    log.info("all drained")


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m artifacts.supervisor", description=__doc__)
    arguments.add_argument("--root", type=Path, required=True, help="where the node's tree begins")
    arguments.add_argument("--run", type=Path, help="where sockets live; default ROOT/run/evctl")
    given = arguments.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    root = given.root.resolve()
    layout = Layout(root, (given.run or root / "run/evctl").resolve())
    layout.run.mkdir(parents=True, exist_ok=True)
    lock = os.open(layout.run / "supervisor.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"another supervisor runs {layout.run}", file=sys.stderr)
        return NodeSettingsError.exit_code
    asyncio.run(serve(layout))
    return 0


if __name__ == "__main__":
    sys.exit(main())
