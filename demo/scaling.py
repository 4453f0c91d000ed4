"""`make demo-scaling`: four times the load, and the nodes follow; exit code 0 only when nothing was
lost and nothing failed.

lab with one processor → load → four times as much → three processors → the backlog falls → the
first load again → one processor → drain → check
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from artifacts.app import load_app
from artifacts.errors import EvctlError
from cli.lab.spec import REPOSITORY, Lab, load_lab
from cli.scale_view import strip
from demo.checker import checked
from demo.client import collectors, progress, under_load, wait_for
from demo.evctl import Evctl, UnexpectedExit
from demo.figures import add_up
from demo.ledger import read_requests
from demo.load import RISE
from demo.source import Source
from eventstore.errors import EventStoreError
from eventstore.query.read import open_reader

LAB = "scaling"
FOLDER = REPOSITORY / "build/demo-scaling"
NODES = "collector-01,processor-01,postprocessor-01,autoscaler-01"
# A step that asks somebody else, and waits thirty milliseconds for each answer: what a processor
# can do is bounded, and not by the cores that the lab's nodes share.
WAITS = "eventstore/waits.py"
WAIT_S = 0.03
STEP = f'''\
"""Planted: a transform that waits for somebody else."""

import time


def wait(event):
    time.sleep({WAIT_S})
    return event
'''
RATE = 5.0  # requests a second, of 2.7 events: not half of what one processor can do
SETTINGS = {
    "processor": {"transforms": ["eventstore.waits:wait"]},
    "autoscaler": {
        "scaling_s": 5,
        "scaling": {
            "collector": {"floor": 1, "ceiling": 1},
            "processor": {"floor": 1, "ceiling": 3, "oldest_s": 10, "up_s": 15, "down_s": 20},
            "postprocessor": {"floor": 1, "ceiling": 1},
        },
    },
}
STEADY_S = 20.0
SCALED_S = 300.0
STOP_S = 60.0
DRAIN_S = 120.0


@dataclass(frozen=True)
class Look:
    """at_s: since the load began. packs: that wait."""

    at_s: float
    processors: int
    packs: int


@dataclass(frozen=True)
class Receipt:
    """processors: their numbers, one after the other. backlog_most, backlog_last: packs."""

    driver: str
    processors: list[int]
    backlog_most: int
    backlog_last: int
    requests: int
    failed: int
    acked: int
    lost: int
    duplicated: int
    mismatches: int
    decisions: list[str]
    looks: list[Look]


class Watch:
    """How many processors there are, and how much waits, looked at every half second."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.looks: list[Look] = []

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        began = time.monotonic()
        reader = open_reader(_lab(self._root).data.as_uri())
        while not self._over.wait(0.5):
            count = sum(node.role == "processor" for node in _lab(self._root).nodes)
            packs = reader.pending().packs
            self.looks.append(Look(round(time.monotonic() - began, 1), count, packs))
        reader.close()


def tell(driver: str) -> Receipt:
    """Play it all. Takes the lab down."""
    root = REPOSITORY / "build/labs" / LAB
    source = Source.copy(REPOSITORY, FOLDER / "app")
    source.add(WAITS, STEP)
    evctl = Evctl(fleet=root / "fleet.yaml", folder=source.folder)
    evctl("lab", "down", "--name", LAB)
    try:
        return _tell(driver, root, evctl)
    finally:
        evctl("lab", "down", "--name", LAB)


def _tell(driver: str, root: Path, evctl: Evctl) -> Receipt:
    _say("a lab with one processor")
    evctl("lab", "up", "--name", LAB, "--driver", driver, "--nodes", "none")
    (root / "pillar/own.sls").write_text(json.dumps({"evctl": {"settings": SETTINGS}}))
    evctl("release", "--channel", "stable")
    evctl("lab", "up", "--name", LAB, "--nodes", NODES)
    port = load_app(evctl.folder / "evctl.yaml").roles["collector"].listen
    lab, ledger = _lab(root), FOLDER / f"ledger-{time.time_ns()}"
    watch = Watch(root)
    with _followed(evctl), under_load(lab, collectors(lab, port), ledger, RATE) as client:
        watch.start()
        _say(f"{RATE:g} requests/s")
        time.sleep(STEADY_S)
        _say(f"{RISE} times as many")
        client.send_signal(signal.SIGUSR1)
        wait_for(lambda: _processors(watch) == 3, SCALED_S, "three processors")
        most = max(look.packs for look in watch.looks)
        _say(f"three processors; {watch.looks[-1].packs} packs wait")
        wait_for(lambda: watch.looks[-1].packs < most / 10, SCALED_S, "the backlog falls")
        _say(f"the backlog has fallen; {RATE:g} requests/s again")
        client.send_signal(signal.SIGUSR2)
        wait_for(lambda: _processors(watch) == 1, SCALED_S, "one processor")
        _say("one processor")
        explained = evctl("scale", "explain").result
        time.sleep(5)
        view = progress(ledger)
        _say(f"{view['sent']} requests, {view['failed']} failed")
    watch.stop()
    found = checked(_lab(root), ledger, DRAIN_S)
    figures = add_up(read_requests(ledger))
    looks = watch.looks
    return Receipt(
        driver=lab.driver,
        processors=[
            look.processors
            for number, look in enumerate(looks)
            if not number or look.processors != looks[number - 1].processors
        ],
        backlog_most=max(look.packs for look in looks),
        backlog_last=looks[-1].packs,
        requests=figures.sent,
        failed=figures.failed,
        acked=found.acked,
        lost=found.lost,
        duplicated=found.duplicated,
        mismatches=found.mismatches,
        decisions=[
            f"{one['role']} {one['from']} → {one['to']}: {one['why']}"
            for one in explained["changes"]
        ],
        looks=looks,
    )


@contextmanager
def _followed(evctl: Evctl) -> Iterator[None]:
    follower = subprocess.Popen(
        evctl.command("lab", "follow", "--name", LAB),
        cwd=evctl.folder,
        env=evctl.environment(),
        start_new_session=True,
    )
    try:
        yield
    finally:
        follower.send_signal(signal.SIGINT)
        try:
            follower.wait(STOP_S)
        except subprocess.TimeoutExpired:
            follower.kill()
            follower.wait()


def verdict(receipt: Receipt) -> list[str]:
    """What isn't as it should be."""
    wrong = [
        f"{getattr(receipt, name)} {name}"
        for name in ("failed", "lost", "duplicated", "mismatches")
        if getattr(receipt, name)
    ]
    if receipt.processors not in ([1, 3, 1], [1, 2, 3, 1], [1, 2, 3, 2, 1], [1, 3, 2, 1]):
        wrong.append(f"processors were {receipt.processors}")
    if receipt.backlog_last > receipt.backlog_most / 10:
        wrong.append(f"{receipt.backlog_last} packs wait at the end")
    return wrong


def show(receipt: Receipt) -> None:
    looks = receipt.looks
    print(f"processors  {strip([float(look.processors) for look in looks])}  {receipt.processors}")
    backlog = strip([float(look.packs) for look in looks])
    print(f"backlog     {backlog}  at most {receipt.backlog_most} packs")
    print(f"            0{f'{looks[-1].at_s:.0f} s':>{59}}")
    for decision in receipt.decisions:
        print(f"  {decision}")
    print(f"{receipt.requests} requests, {receipt.failed} failed")
    print(
        f"{receipt.acked} events acknowledged, {receipt.lost} lost,"
        f" {receipt.duplicated} duplicated, {receipt.mismatches} mismatches in aggregates"
    )


def _processors(watch: Watch) -> int:
    return watch.looks[-1].processors if watch.looks else 0


def _lab(root: Path) -> Lab:
    lab = load_lab(root)
    if lab is None:
        raise UnexpectedExit(f"the lab at {root} has gone")
    return lab


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} ● {line}", file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m demo.scaling", description=__doc__)
    parser.add_argument("--driver", choices=("auto", "nspawn", "process"), default="auto")
    try:
        receipt = tell(parser.parse_args().driver)
    except (UnexpectedExit, TimeoutError, EvctlError, EventStoreError) as error:
        print(f"the story broke off: {error}", file=sys.stderr)
        return 1
    (FOLDER / "receipt.json").write_text(json.dumps(asdict(receipt), indent=1) + "\n")
    show(receipt)
    wrong = verdict(receipt)
    print("✔ nothing lost, nothing failed" if not wrong else f"✗ {'; '.join(wrong)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
