"""The load client: numbered events to the collectors, and a ledger of what was acknowledged.

    python -m demo.load --targets http://10.77.0.11:8080,http://10.77.0.12:8080 --out DIR

Many keep-alive connections, and many that carry one request and say `Connection: close`, share
one paced schedule. Nothing is ever sent twice: a request that fails, for whatever reason, has
failed. That includes the request that a client of good will would have repeated because its
reused connection had just been closed. SIGTERM: answers in flight are awaited, then exit 0.
SIGUSR1: four times the rate; SIGUSR2: the rate that was asked for again.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import random
import signal
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import uvloop

from demo.ledger import Connection, Ledger, Run
from demo.progress import Progress
from demo.sender import Plan, Sender

PROGRESS_EVERY_S = 0.5
FLUSH_EVERY_S = 0.2
KEEP_ALIVE_S = 3600  # it's for the server to end an idle connection
RISE = 4
BEHIND_S_MAX = 1.0  # further behind its schedule than this, the schedule moves: no later burst


class Schedule:
    """Hands out the moments at which requests are due, `rate` a second, to whoever is free."""

    def __init__(self, rate: float, count_max: int | None) -> None:
        self._step = 1 / rate
        self._due = time.monotonic()
        self._left = itertools.count() if count_max is None else iter(range(count_max))
        self.stopping = asyncio.Event()

    def pace(self, rate: float) -> None:
        """From the next request on."""
        self._step = 1 / rate

    async def next_due(self) -> float | None:
        """Waits until the next request is due and gives that moment (monotonic), or None when
        there is nothing more to send."""
        if self.stopping.is_set() or next(self._left, None) is None:
            return None
        now = time.monotonic()
        self._due = max(self._due + self._step, now - BEHIND_S_MAX)
        due = self._due
        if due > now:
            try:
                await asyncio.wait_for(self.stopping.wait(), due - now)
            except TimeoutError:
                return due
            return None
        return due


@dataclass(frozen=True)
class Worker:
    """One connection of the load: a keep-alive one stays with its target."""

    plan: Plan
    kind: Connection
    place: int

    def session(self) -> aiohttp.ClientSession:
        connector = (
            aiohttp.TCPConnector(limit=1, force_close=True)
            if self.kind is Connection.ONE_SHOT
            else aiohttp.TCPConnector(limit=1, keepalive_timeout=KEEP_ALIVE_S)
        )
        timeout = aiohttp.ClientTimeout(total=self.plan.timeout_s)
        return aiohttp.ClientSession(connector=connector, timeout=timeout)

    def target(self) -> int:
        if self.kind is Connection.KEEP_ALIVE:
            return self.place % len(self.plan.targets)
        return random.randrange(len(self.plan.targets))  # noqa: S311 - a choice, no secret


async def run_load(plan: Plan, out: Path, *, quiet: bool = False) -> Progress:
    """Sends until SIGTERM (or `requests_max`), then finishes what is in flight."""
    run = Run(
        run=f"r{uuid.uuid4().hex[:8]}",
        targets=plan.targets,
        started_at=time.time(),
        rate=plan.rate,
        keep_alive=plan.keep_alive,
        one_shot=plan.one_shot,
    )
    schedule = Schedule(plan.rate, plan.requests_max)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, schedule.stopping.set)
    loop.add_signal_handler(signal.SIGUSR1, schedule.pace, RISE * plan.rate)
    loop.add_signal_handler(signal.SIGUSR2, schedule.pace, plan.rate)
    progress = Progress(out / "progress.json", quiet=quiet)
    with Ledger(out, run) as ledger:
        kinds = [Connection.KEEP_ALIVE] * plan.keep_alive + [Connection.ONE_SHOT] * plan.one_shot
        workers = [
            asyncio.create_task(_work(Worker(plan, kind, place), ledger, schedule, progress))
            for place, kind in enumerate(kinds)
        ]
        keeper = asyncio.create_task(_keep_flushed(ledger, progress, schedule))
        try:
            await asyncio.gather(*workers)
        finally:
            keeper.cancel()
    progress.publish("done")
    return progress


async def _work(worker: Worker, ledger: Ledger, schedule: Schedule, progress: Progress) -> None:
    async with worker.session() as session:
        sender = Sender(session, worker.plan, worker.kind, ledger)
        while (due := await schedule.next_due()) is not None:
            request = await sender.send(worker.target(), due)
            ledger.write(request)
            progress.add(request)


async def _keep_flushed(ledger: Ledger, progress: Progress, schedule: Schedule) -> None:
    published = 0.0
    while True:
        await asyncio.sleep(FLUSH_EVERY_S)
        ledger.flush()
        if time.monotonic() - published >= PROGRESS_EVERY_S:
            published = time.monotonic()
            progress.publish("stopping" if schedule.stopping.is_set() else "running")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m demo.load", description=__doc__.split("\n")[0])
    parser.add_argument("--targets", required=True, help="comma-separated http://host:port")
    parser.add_argument(
        "--out", required=True, type=Path, help="folder for the ledger; must be new"
    )
    parser.add_argument("--rate", type=float, default=450, help="requests a second, in all")
    parser.add_argument("--keepalive", type=int, default=24, help="keep-alive connections")
    parser.add_argument(
        "--one-shot", type=int, default=8, help="workers of one-request connections"
    )
    parser.add_argument("--timeout", type=float, default=10, help="seconds; slower has failed")
    parser.add_argument("--requests", type=int, default=None, help="stop after so many")
    parser.add_argument("--no-gzip", action="store_true")
    parser.add_argument("--quiet", action="store_true", help="no line a second on stderr")
    given = parser.parse_args(argv)
    if given.rate <= 0 or given.keepalive + given.one_shot <= 0:
        parser.error("--rate and the connections must be more than nothing")
    plan = Plan(
        targets=tuple(given.targets.rstrip("/").split(",")),
        rate=given.rate,
        keep_alive=given.keepalive,
        one_shot=given.one_shot,
        timeout_s=given.timeout,
        requests_max=given.requests,
        gzip=not given.no_gzip,
    )
    try:
        uvloop.run(run_load(plan, given.out, quiet=given.quiet))
    except FileExistsError:
        parser.error(f"{given.out} holds a ledger already")
    return os.EX_OK


if __name__ == "__main__":
    raise SystemExit(main())
