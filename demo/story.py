"""The main job, end to end, on real nodes: told step by step, and judged by its receipt.

lab → release → bootstrap → load → rollout → two bad releases → rollback without the registry
→ another rollout → drain → check → receipt and report
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from artifacts.app import load_app
from cli.lab.fleet_files import OWN_PILLAR
from cli.lab.operate import choose_driver
from cli.lab.spec import DEFAULT_NODES, REPOSITORY, EngineName, Lab, load_lab
from demo.bars import bars_from_swaps
from demo.checker import checked
from demo.client import collectors, progress, under_load, wait_for
from demo.evctl import Done, Evctl, UnexpectedExit
from demo.figures import add_up
from demo.ledger import read_requests
from demo.probe import FirstAnswers
from demo.receipt import (
    REQUESTS_MIN,
    SWAPS_MIN,
    Aggregates,
    Billed,
    Events,
    Node,
    Receipt,
    Requests,
    Speed,
    SwapTimes,
    write,
)
from demo.report import write_report
from demo.report_data import Span
from demo.source import DIES_AT_START, NEVER_READY, Source
from demo.told import Told

ALL_ROLES = "role:collector,role:processor,role:postprocessor"
RATE = 450
RATE_ON_AWS = 150  # what the local servers take beside all nodes, on two cores
SERVING_S = 120.0
LOAD_S_MAX = 300.0
DRAIN_S = 60.0
HELP_RUNS = 5
SAMPLE_EVENTS = 4000
BILL = "1h"  # longer than all of it


@dataclass(frozen=True)
class Setting:
    """Where the story plays. folder: its files. requests_min, swaps_min: what it takes to count."""

    driver: str
    engine: EngineName = "embedded"
    lab: str = "demo"
    folder: Path = REPOSITORY / "build/demo"
    requests_min: int = REQUESTS_MIN
    swaps_min: int = SWAPS_MIN


def tell(setting: Setting) -> Receipt:
    """Play it all; the receipt and the report are in the setting's folder. Takes the lab down."""
    lab_root = REPOSITORY / "build/labs" / setting.lab
    source = Source.copy(REPOSITORY, setting.folder / "app")
    if setting.engine == "aws":
        source.run_on_aws()
    evctl = Evctl(fleet=lab_root / "fleet.yaml", folder=source.folder)
    evctl("lab", "down", "--name", setting.lab)
    try:
        return _Teller(setting, lab_root, source, evctl).tell()
    finally:
        _chapter("The lab goes")
        evctl("lab", "down", "--name", setting.lab)


class _Teller:
    def __init__(self, setting: Setting, lab_root: Path, source: Source, evctl: Evctl) -> None:
        self._setting = setting
        self._lab_root = lab_root
        self._source = source
        self._evctl = evctl
        self._told = Told()
        self._one_node_s = 0.0
        self._why_driver = choose_driver(setting.driver)[1]  # type: ignore[arg-type]

    def tell(self) -> Receipt:
        _chapter("1 · Lab: a Salt master")
        chosen = ("--driver", self._setting.driver, "--engine", self._setting.engine)
        self._lab_up(*chosen, "--nodes", "none")
        _chapter("2 · Release: this tree and its wheels, signed and published")
        first = self._release("0.1.0", "--channel", "stable")
        _chapter("3 · Bootstrap: five nodes that know their id, their master and a token")
        power_on = self._power_on()
        pss = self._memory_at_rest()

        _chapter("4 · Load: numbered events, from here to the end")
        with self._load() as ledger:
            began = time.time()
            self._rollouts()
            self._load_until_enough(ledger)
            ended = time.time()

        _chapter("8 · Drain, check, receipt")
        return self._receipt(ledger, first, (began, ended), power_on, pss)

    def _rollouts(self) -> None:
        second = self._release("0.1.1")
        _chapter("5 · Rollout: plan, canaries, waves, gates")
        self._told.add(self._roll_out(second))

        _chapter("6 · Two bad releases: one dies at its start, one never becomes ready")
        for version, program in (("0.1.2", DIES_AT_START), ("0.1.3", NEVER_READY)):
            self._source.set_program(version, program)
            bad = self._evctl("release").result["release"]
            self._told.add(self._roll_out(bad, expect=5))

        _chapter("7 · Rollback, with the registry out of reach: one node, then the others")
        with self._registry_away():
            one = self._evctl("rollback", "--range", "processor-02", "--yes")
            self._one_node_s = one.seconds
            self._told.add(one)
            self._told.add(self._evctl("rollback", "--yes"))
        self._source.restore()
        if self._setting.engine == "aws":
            _say("a dictionary for packs, trained from what came so far")
            self._use_dictionary()
        self._told.add(self._roll_out(self._release("0.1.4")))

    def _lab_up(self, *arguments: str) -> Done:
        return self._evctl("lab", "up", "--name", self._setting.lab, *arguments)

    def _lab(self) -> Lab:
        lab = load_lab(self._lab_root)
        if lab is None:
            raise UnexpectedExit(f"the lab at {self._lab_root} has gone")
        return lab

    def _release(self, version: str, *arguments: str) -> str:
        self._source.set_version(version)
        release: str = self._evctl("release", *arguments).result["release"]
        return release

    def _roll_out(self, release: str, expect: int = 0) -> Done:
        return self._evctl("rollout", "--range", ALL_ROLES, "--to", release, "--yes", expect=expect)

    def _use_dictionary(self) -> None:
        """Collectors compress with it from their next generation on."""
        train = ("events", "dictionary", "train", "--sample", str(SAMPLE_EVENTS), "--yes")
        trained = self._evctl(*train).result["dictionary"]
        settings = {"collector": {"dictionaries": {"default": trained}}}
        pillar = self._lab_root / "pillar" / f"{OWN_PILLAR}.sls"
        pillar.write_text(json.dumps({"evctl": {"settings": settings}}))
        self._lab_up()
        why = "packs with a dictionary"
        self._evctl("drift", "--range", "role:collector", "--mend", "--reason", why, "--yes")

    def _billed(self) -> Billed:
        said = self._evctl("aws", "bill", "--last", BILL).result
        generations = said["generations"]
        return Billed(
            usd=said["usd"],
            usd_per_billion_events=said["usd_per_billion_events"] or 0.0,
            generations=len(generations),
            ended=sum(one["ended_s"] is not None for one in generations),
        )

    def _power_on(self) -> dict[str, float]:
        """Node → seconds from power-on to its first answer."""
        roles = load_app(self._source.folder / "evctl.yaml").roles
        planned = self._lab().with_nodes(DEFAULT_NODES)
        addresses = {node.id: (node.address, roles[node.role].listen) for node in planned.nodes}
        network = planned.network if planned.driver == "nspawn" else None
        answers = FirstAnswers(addresses, network)
        answers.start()
        powered_on = self._lab_up().result["powered_on"]
        answers.wait(SERVING_S)
        return {node: round(answers.at[node] - powered_on[node], 2) for node in addresses}

    def _memory_at_rest(self) -> dict[str, float]:
        """Role → the largest of its nodes' PSS, MiB."""
        found: dict[str, float] = {}
        for node, status in self._evctl("status").result["nodes"].items():
            for generation in status["generations"]:
                rollup = f"/proc/{generation['pid']}/smaps_rollup"
                text = self._evctl.on_node(self._setting.lab, node, "cat", rollup)
                line = next(line for line in text.splitlines() if line.startswith("Pss:"))
                mib = round(int(line.split()[1]) / 1024, 1)
                found[status["role"]] = max(found.get(status["role"], 0.0), mib)
        return found

    @contextmanager
    def _load(self) -> Iterator[Path]:
        """The load client runs meanwhile; afterwards it has awaited all its answers."""
        ledger = self._setting.folder / f"ledger-{time.time_ns()}"
        port = load_app(self._source.folder / "evctl.yaml").roles["collector"].listen
        lab = self._lab()
        rate = RATE_ON_AWS if self._setting.engine == "aws" else RATE
        with under_load(lab, collectors(lab, port), ledger, rate):
            yield ledger

    def _load_until_enough(self, ledger: Path) -> None:
        wanted = self._setting.requests_min
        _say(f"load goes on until {wanted} requests were sent")
        wait_for(lambda: progress(ledger).get("sent", 0) >= wanted, LOAD_S_MAX, "enough requests")
        view = progress(ledger)
        _say(f"{view['sent']} requests, {view['failed']} failed, p99 {view['p99_ms']} ms")

    @contextmanager
    def _registry_away(self) -> Iterator[None]:
        registry = self._lab().registry
        away = registry.with_name("registry.away")
        registry.rename(away)
        began = time.time()
        try:
            yield
        finally:
            away.rename(registry)
            self._told.spans.append(Span("registry unreachable", began, time.time()))

    def _receipt(
        self,
        ledger: Path,
        first: str,
        between: tuple[float, float],
        power_on: dict[str, float],
        pss: dict[str, float],
    ) -> Receipt:
        billed = self._billed() if self._setting.engine == "aws" else None
        found = checked(self._lab(), ledger, DRAIN_S)
        figures = add_up(read_requests(ledger))
        nodes = self._evctl("status").result["nodes"]
        without_drain = [s["total_s"] - s["drain_s"] for s in self._told.swaps if s["ok"]]
        receipt = Receipt(
            driver=self._lab().driver,
            why_driver=self._why_driver,
            nodes={
                name: Node(one["role"], one["release"] or "none") for name, one in nodes.items()
            },
            requests=Requests.of(figures),
            events=Events(found.acked, found.stored, found.lost, found.duplicated, found.phantom),
            rollouts=self._told.rollouts,
            aggregates=Aggregates(found.windows, found.mismatches),
            engine=self._setting.engine,
            kept=found.kept,
            billed=billed,
            speed=Speed(
                power_on_to_serving_s=power_on,
                swap_s=SwapTimes(
                    round(statistics.median(without_drain), 2), round(max(without_drain), 2)
                ),
                rollback_one_node_s=round(self._one_node_s, 2),
                pss_mib=pss,
                evctl_help_s=self._help_s(),
            ),
            failures_by_kind=figures.failures_by_kind,
            environment={
                "date": time.strftime("%Y-%m-%d %H:%M:%S %Z"),
                "cores": str(os.cpu_count()),
            },
        )
        folder = self._setting.folder
        write(folder / "receipt.json", receipt)
        bars = bars_from_swaps(
            dict.fromkeys(nodes, first), self._told.swaps, from_t=between[0], to_t=between[1]
        )
        write_report(
            folder / "report.html",
            receipt,
            ledger,
            self._told.swaps,
            bars,
            spans=self._told.spans,
            requests_min=self._setting.requests_min,
            swaps_min=self._setting.swaps_min,
        )
        return receipt

    def _help_s(self) -> float:
        """`evctl --help`, the quickest of a few."""
        times = []
        for _ in range(HELP_RUNS):
            began = time.monotonic()
            subprocess.run(
                self._evctl.command("--help"), stdout=subprocess.DEVNULL, timeout=30, check=True
            )
            times.append(time.monotonic() - began)
        return round(min(times), 3)


def _chapter(title: str) -> None:
    print(f"\n── {title}", file=sys.stderr, flush=True)


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} ● {line}", file=sys.stderr, flush=True)
