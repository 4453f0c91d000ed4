"""What is measured, as processes of its own: started, watched, stopped by its own id."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
START_S = 30.0
STOP_S = 60.0
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Measured:
    """A running process, with those that it has started."""

    name: str
    process: subprocess.Popen[str]
    port: int = 0

    def cpu_s(self) -> float:
        """Processor time that they have used, all threads."""
        stats = [(one / "stat").read_text().rpartition(")")[2].split() for one in self._places()]
        return sum(int(fields[11]) + int(fields[12]) for fields in stats) / TICKS

    def rss_peak_mib(self) -> float:
        """The most memory that one of them ever had resident."""
        statuses = [(one / "status").read_text() for one in self._places()]
        return max(int(text.partition("VmHWM:")[2].split()[0]) for text in statuses) / 1024

    def _places(self) -> list[Path]:
        own = Path(f"/proc/{self.process.pid}")
        lists = [threads.read_text().split() for threads in own.glob("task/*/children")]
        return [own, *(own.parent / pid for pids in lists for pid in pids)]


@contextmanager
def running(name: str, command: Sequence[str], *, listens: bool) -> Iterator[Measured]:
    """listens: it says its port as `… http://127.0.0.1:PORT` on its first line of stderr."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE if listens else subprocess.DEVNULL,
        text=True,
    )
    try:
        port = int(process.stderr.readline().rsplit(":", 1)[1]) if process.stderr else 0
        yield Measured(name, process, port)
        if process.poll() is not None:
            raise RuntimeError(f"{name} ended by itself with exit code {process.returncode}")
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def roles(
    folder: Path,
    names: Sequence[str],
    settings: dict[str, Any] | None = None,
    *,
    program: str = "eventstore",
) -> Iterator[list[Measured]]:
    """Roles of the event store over the engines in this folder; the same name may stand twice."""
    file = folder / "settings.yaml"
    data = {"data": folder.as_uri(), "listen_port": 0, **BENCH_SETTINGS, **(settings or {})}
    file.write_text(yaml.safe_dump(data))
    with ExitStack() as stack:
        command = (sys.executable, "-m", program)
        yield [
            stack.enter_context(
                running(name, (*command, name, "--settings", str(file)), listens=True)
            )
            for name in names
        ]


# Bounds that a run at full speed must not meet; everything else is as it is by default.
BENCH_SETTINGS: dict[str, Any] = {
    "queue_packs_max": 1_000_000,
    "queue_bytes_max": 1 << 34,
}


def load(port: int, **options: float) -> dict[str, float]:
    """Runs the load generator; its figures."""
    words = [f"--{key.replace('_', '-')}={value:g}" for key, value in options.items()]
    done = subprocess.run(
        (sys.executable, "-m", "bench.load", f"--port={port}", *words),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        timeout=options.get("seconds", 10) + 120,
        check=True,
    )
    figures: dict[str, float] = json.loads(done.stdout)
    if figures["failed"]:
        raise RuntimeError(f"{figures['failed']:g} requests failed: no figure")
    return figures


def until(true: Any, limit_s: float) -> float:
    """Waits, and says how long."""
    began = time.monotonic()
    while not true():
        if time.monotonic() - began > limit_s:
            raise RuntimeError(f"not within {limit_s:g} s")
        time.sleep(0.02)
    return time.monotonic() - began
