"""One generation: its process, from spawn to drained, restarted whenever it ends in between."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from artifacts import supervisor_exec
from artifacts.services import Generation, State
from artifacts.supervisor_log import GenerationLog
from artifacts.supervisor_notify import NotifySocket

RESTART_DELAY_S = 0.1
RESTART_DELAY_MAX_S = 5.0
# Long enough without an end, and the next restart is quick again.
STEADY_S = 10.0
KILLED_WITHIN_S = 5.0


@dataclass(frozen=True)
class Plan:
    """What a generation runs. `env` is its whole environment but for LISTEN_* and NOTIFY_SOCKET."""

    role: str
    release: str
    program: Path
    env: dict[str, str]
    ready_s: float
    drain_s: float
    notify: Path
    log: Path


class RunningGeneration:
    """Runs a plan until it is stopped. Lives on the supervisor's loop.

    `first` ends with the first attempt: None when it said READY=1, else why it didn't.
    """

    def __init__(self, plan: Plan, listener: socket.socket) -> None:
        self.plan = plan
        self.log = GenerationLog(plan.log)
        self.first: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._listener = listener.dup()
        self._state: State = "starting"
        self._restarts = 0
        self._process: asyncio.subprocess.Process | None = None
        self._ready = asyncio.Event()
        self._stopping = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    def describe(self) -> Generation:
        pid = self._process.pid if self._process else None
        return Generation(self.plan.release, self._state, pid, self._restarts)

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    async def gone(self) -> None:
        await asyncio.wait({self._task})

    async def stop(self, drain_s: float) -> bool:
        """SIGTERM, then at `drain_s` SIGKILL to all of it. False: it had to be killed."""
        self._stopping.set()
        self._state = "draining"
        self._signal(signal.SIGTERM)
        done, _ = await asyncio.wait({self._task}, timeout=drain_s)
        if done:
            return True
        self._kill_group()
        await asyncio.wait({self._task}, timeout=KILLED_WITHIN_S)
        return False

    async def _run(self) -> None:
        delay_s = RESTART_DELAY_S
        try:
            while not self._stopping.is_set():
                began = time.monotonic()
                try:
                    why = await self._attempt()
                except OSError as error:
                    why = f"it can't be run: {error}"
                self._settle_first(why)
                if self.stopping:
                    break
                self._state = "starting"
                self._restarts += 1
                if time.monotonic() - began > STEADY_S:
                    delay_s = RESTART_DELAY_S
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), delay_s)
                delay_s = min(delay_s * 2, RESTART_DELAY_MAX_S)
        finally:
            self._listener.close()
            self._settle_first("it was stopped")

    async def _attempt(self) -> str:
        """One process, from spawn to its end; the answer says how it ended."""
        self._ready.clear()
        notify = NotifySocket(self.plan.notify, self._is_main, self._on_ready)
        try:
            self._process = await self._spawn()
            notify.listen()
            reading = asyncio.create_task(self._read_output(self._process))
            try:
                why = await self._until_it_ends(self._process)
            finally:
                # What its children left behind goes too, and with them the last ends of the pipe.
                self._kill_group()
                await asyncio.wait({reading}, timeout=1)
                reading.cancel()
            return why
        finally:
            self._process = None
            notify.close()

    async def _until_it_ends(self, process: asyncio.subprocess.Process) -> str:
        if self.stopping:  # asked while the process was being spawned
            self._signal(signal.SIGTERM)
        ended = asyncio.create_task(process.wait())
        ready = asyncio.create_task(self._ready.wait())
        await asyncio.wait(
            {ended, ready}, timeout=self.plan.ready_s, return_when=asyncio.FIRST_COMPLETED
        )
        if not ended.done() and not ready.done() and not self.stopping:
            self._settle_first(f"it never said READY=1 within {self.plan.ready_s:g} s")
            self._signal(signal.SIGTERM)
            await asyncio.wait({ended}, timeout=self.plan.drain_s)
            if not ended.done():
                self._kill_group()
        ready.cancel()
        return _ending(await ended)

    async def _spawn(self) -> asyncio.subprocess.Process:
        descriptor = self._listener.fileno()
        env = self.plan.env | {
            "LISTEN_FDS": "1",
            "LISTEN_FDNAMES": self.plan.role,
            "NOTIFY_SOCKET": str(self.plan.notify),
        }
        return await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", str(Path(supervisor_exec.__file__)),
            str(descriptor), str(os.getpid()), str(self.plan.program),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            pass_fds=(descriptor,),
            start_new_session=True,
            env=env,
            cwd="/",
        )  # fmt: skip

    async def _read_output(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None:
            return
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:  # a line longer than the reader's limit: its rest is dropped
                continue
            if not line:
                return
            self.log.write(line)

    def _is_main(self, pid: int) -> bool:
        return self._process is not None and self._process.pid == pid

    def _on_ready(self) -> None:
        self._ready.set()
        if not self.stopping:
            self._state = "serving"
        self._settle_first(None)

    def _settle_first(self, why: str | None) -> None:
        if not self.first.done():
            self.first.set_result(why)

    def _signal(self, number: signal.Signals) -> None:
        if self._process and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def _kill_group(self) -> None:
        if self._process:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)


def _ending(code: int) -> str:
    if code < 0:
        return f"its process was ended by signal {signal.Signals(-code).name}"
    return f"its process ended with status {code}"
