"""Releases that are bad, each in its own way; the rollout must stop at its first node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from demo.evctl import Evctl
from demo.source import DIES_AT_START, NEVER_READY, Source
from faults.fault import Outcome, Own
from faults.scene import Scene

ROLES = "eventstore/roles.py"
MAIN = "def main("
CANARY = "collector-01"
BAKED = ("--bake", "8s")

TURNS_UNREADY = """\
def _turns_unready(options: settings.Settings, process: service.Process) -> service.Role:
    import time

    role, fails_at = _collector(options, process), time.monotonic() + 3
    role.unready = lambda: "planted: unready" if time.monotonic() > fails_at else None
    return role


ROLES["collector"] = _turns_unready
"""

DIES_LATER = """\
def _dies_later(options: settings.Settings, process: service.Process) -> service.Role:
    import threading

    threading.Timer(3, os._exit, [1]).start()
    return _processor(options, process)


ROLES["processor"] = _dies_later
"""

SLOW = """\
def _slow(options: settings.Settings, process: service.Process) -> service.Role:
    import asyncio

    role = _collector(options, process)
    handle = role.handle

    async def later(request):
        await asyncio.sleep(0.6)
        return await handle(request)

    role.handle = later
    return role


ROLES["collector"] = _slow
"""

LEAKS = """\
_KEPT = []  # also when it has enough


def _leaks(options: settings.Settings, process: service.Process) -> service.Role:
    import threading
    import time

    def leak():
        while len(_KEPT) < 60:
            _KEPT.append(b"x" * 10_000_000)
            time.sleep(0.2)

    threading.Thread(target=leak, daemon=True).start()
    return _collector(options, process)


ROLES["collector"] = _leaks
"""

LOSES_EVENTS = """\
class _Swallowing:
    def __init__(self, queue):
        self._queue = queue

    def put(self, packs):
        pass

    def __getattr__(self, name):
        return getattr(self._queue, name)


if sys.argv[1:2] == ["collector"]:
    _open_queue = engines.open_queue
    engines.open_queue = lambda options: _Swallowing(_open_queue(options))
"""


@dataclass
class Releases:
    """Makes releases from one tree, each with a version of its own."""

    source: Source
    evctl: Evctl
    _numbers: count[int] = field(default_factory=lambda: count(1))

    def make(self, planted: str) -> str:
        """planted: a program of its own, or what is put before the start of the real one."""
        self.source.restore()
        version = f"0.1.{next(self._numbers)}"
        if planted in WHOLE:
            self.source.set_program(version, planted)
        else:
            text = (self.source.folder / ROLES).read_text()
            program = text.replace(MAIN, f"{planted}\n\n{MAIN}")
            self.source.set_program(version, program, ROLES)
        release: str = self.evctl("release").result["release"]
        return release


WHOLE = (DIES_AT_START, NEVER_READY)


def bad(planted: str, *options: str) -> Callable[[Scene], Outcome]:
    """It is found out at its first node, and that one goes back."""

    def play(scene: Scene) -> Outcome:
        done = scene.roll_out(scene.release(planted), *options, expect=5)
        swapped = {swap["node"] for swap in done.result["swapped"]}
        if len(swapped) > len({node.role for node in scene.lab.nodes}):
            raise AssertionError(f"it came to {', '.join(sorted(swapped))}")
        return Outcome(done.result["state"], scene.everywhere(scene.base))

    return play


def loses_events(scene: Scene) -> Outcome:
    """A collector that acknowledges and stores nothing: the probe finds it. What its clients sent
    to it until then is what it has lost itself."""
    port = 8080
    urls = [f"http://{n.address}:{port}/v1/events" for n in scene.lab.nodes if n.id == CANARY]
    probe = (*scene.evctl.command("events", "probe"), *urls, "--within", "10")
    new = scene.release(LOSES_EVENTS)
    done = scene.roll_out(
        new, "--range", "role:collector", "--gate-command", " ".join(probe), expect=5
    )
    swaps = [swap for swap in done.result["swapped"] if swap["node"] == CANARY]
    there, back = swaps[0]["started_at"], swaps[-1]["ended_at"]
    own = Own("events", CANARY, there, back)
    return Outcome(done.result["state"], scene.everywhere(scene.base), (own,))
