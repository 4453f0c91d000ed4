"""A rollout at 100, 1,000 and 10,000 nodes: `python -m bench.rollout.at_size`, printed, and written
to build/bench-rollout-at-size.json as {"rows": [{column: figure, …}]}.

Driver, decisions, documents, locks and the node's pillar are the real ones, and what they take is
what they take on this machine. Nodes, Salt and the network are simulated: with the latencies below,
on a clock that runs on by itself whenever somebody waits.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from artifacts.trust import new_signing_key
from bench.__main__ import BUILD
from cli import tokens
from cli.fleet import Fleet
from cli.node_pillar import node_pillar
from cli.rollout.document import Document, Limits, NodeRecord
from cli.rollout.drive import drive, start
from cli.rollout.plan import capacities, parse_shares, waves
from cli.salt_client import ALIVE_S, SILENT, Return, in_turns

# Nodes, and the cores of their one master.
SIZES = ((100, 8), (1_000, 8), (10_000, 8), (10_000, 64))
ROLE = "collector"
OLD, NEW = "1.0.0-aaaaaaaaaaaa", "1.1.0-bbbbbbbbbbbb"
SHARES = "5%,25%,100%"
SEED = 7
FIND_JOB_EVERY_S = 10.0  # Salt's gather_job_timeout
POLL_S = 35.0  # pillar/defaults.sls: 30 s, and a splay of up to 10
REGISTRY_REQUESTS = 2  # a node's: the manifest, the tarball
PILLARS = 3
CORES_MIN = 0.05


@dataclass(frozen=True)
class Latency:
    value: float
    source: str


LAB = "measured: `python -m bench.rollout.latencies`, six nodes and their master on two busy cores"
ROLLOUTS = "measured: what the nodes of that lab answered in a rollout"
LATENCIES = {
    "publish_s": Latency(0.54, LAB),
    "status_s": Latency(0.088, LAB),
    "return_cpu_s": Latency(0.0146, LAB),
    "return_driver_s": Latency(0.0060, LAB),
    "pillar_cpu_s": Latency(0.182, LAB),
    "install_s": Latency(8.6, ROLLOUTS),
    "swap_s": Latency(2.7, ROLLOUTS),
    "tarball_bytes": Latency(52_869_120, "the release of this repository"),
    "spread": Latency(0.3, "assumed: a node takes up to so much longer than the quickest"),
    "node_bytes_s": Latency(125e6, "assumed: 1 Gbit/s"),
    "registry_bytes_s": Latency(1.25e9, "assumed: 10 Gbit/s"),
}


def _of(name: str) -> float:
    return LATENCIES[name].value


class SimulatedClock:
    """Real time, and what was waited for without waiting."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._skipped_s = 0.0

    def monotonic(self) -> float:
        return time.monotonic() - self._began + self._skipped_s

    def sleep(self, seconds: float, /) -> None:
        self._skipped_s += seconds

    def reach(self, moment: float) -> None:
        self._skipped_s += max(0.0, moment - self.monotonic())


@dataclass
class Load:
    """By second: what reached, or left, the master and the registry."""

    jobs: Counter[int] = field(default_factory=Counter)
    messages: Counter[int] = field(default_factory=Counter)
    published_bytes: Counter[int] = field(default_factory=Counter)
    fetches: Counter[int] = field(default_factory=Counter)
    fetched_bytes: Counter[int] = field(default_factory=Counter)


class SimulatedFleet:
    """Nodes that answer as SaltClient says they do; one master and one registry for all of them.

    cores: what the nodes that poll the master leave of it.
    """

    def __init__(self, nodes: int, clock: SimulatedClock, cores: float) -> None:
        self.load = Load()
        self._nodes = nodes
        self._clock = clock
        self._serving = dict.fromkeys(names(nodes), OLD)
        self._random = random.Random(SEED)  # noqa: S311 - a simulation, no secret
        self._return_s = _of("return_cpu_s") / cores

    def call(
        self,
        nodes: Collection[str],
        function: str,
        kwargs: Mapping[str, Any],
        timeout_s: float,
    ) -> Iterator[Return]:
        for asked in in_turns(nodes):
            yield from self._turn(asked, function, kwargs, timeout_s)

    def _turn(
        self, asked: list[str], function: str, kwargs: Mapping[str, Any], timeout_s: float
    ) -> Iterator[Return]:
        began = self._clock.monotonic()
        self._publish(began, asked)
        work_s = self._work_s(began, function, len(asked))
        done = sorted((began + _of("publish_s") + work_s * self._luck(), node) for node in asked)
        self._find_jobs(began, done)
        handled = read = began
        for at, node in done:
            handled = max(handled, at) + self._return_s
            self.load.messages[int(handled)] += 1
            read = max(read, handled) + _of("return_driver_s")
            if read - began > timeout_s:
                yield Return(node, error=SILENT)
                continue
            self._clock.reach(read)
            yield Return(node, data={"ok": True, "result": self._do(node, function, kwargs)})

    def _publish(self, at: float, asked: list[str]) -> None:
        """Every minion hears every job, with the whole list of those whom it is for."""
        self.load.jobs[int(at)] += 1
        self.load.messages[int(at)] += self._nodes
        self.load.published_bytes[int(at)] += self._nodes * sum(len(node) + 2 for node in asked)

    def _find_jobs(self, began: float, done: list[tuple[float, str]]) -> None:
        """Salt's client asks those who still work whether they do."""
        moment = began + ALIVE_S
        while still := [node for at, node in done if at > moment]:
            self._publish(moment, still)
            self.load.messages[int(moment)] += len(still)
            moment += FIND_JOB_EVERY_S

    def _work_s(self, began: float, function: str, nodes: int) -> float:
        if function == "evrelease.prefetch":
            return self._fetch_s(began, nodes) + _of("install_s")
        if function == "evrelease.converge":
            return _of("swap_s")
        return _of("status_s")

    def _fetch_s(self, began: float, nodes: int) -> float:
        """All begin together, and share what the registry can send."""
        sent_s = min(nodes * _of("node_bytes_s"), _of("registry_bytes_s"))
        whole = nodes * _of("tarball_bytes")
        self.load.fetches[int(began)] += nodes * REGISTRY_REQUESTS
        seconds = whole / sent_s
        for second in range(int(seconds) + 1):
            part = min(1.0, seconds - second)
            self.load.fetched_bytes[int(began) + second] += int(sent_s * part)
        return seconds

    def _luck(self) -> float:
        return 1 + self._random.random() * _of("spread")

    def _do(self, node: str, function: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        if function in ("evrelease.converge", "evrelease.activate"):
            self._serving[node] = kwargs["release"]
        serves = self._serving[node]
        generation = {"release": serves, "state": "serving", "ready": True}
        return {"release": serves, "generations": [generation]}


def names(nodes: int) -> list[str]:
    return [f"{ROLE}-{number:05}" for number in range(1, nodes + 1)]


def document(nodes: int, rollout_id: str, at: float) -> Document:
    """As `evctl rollout --canary 1 --waves 5%,25%,100%` plans it."""
    records = {node: NodeRecord(ROLE, OLD, NEW) for node in names(nodes)}
    sizes = {ROLE: nodes}
    capacity = capacities(sizes, records, {})
    planned = waves(
        dict.fromkeys(records, ROLE), sizes, shares=parse_shares(SHARES), capacity=capacity
    )
    return Document(
        id=rollout_id,
        kind="rollout",
        operator="bench",
        reason="",
        range="all",
        created_at=at,
        nodes=records,
        waves=planned,
        limits=Limits(max_unreachable=nodes // 100),
        capacity=capacity,
    ).planned()


def write_fleet(folder: Path, nodes: int) -> Fleet:
    """The master's files for so many nodes that have all joined."""
    for name in ("registry", "documents", "tokens", "cache"):
        (folder / name).mkdir()
    facts = {node: {"role": ROLE, "address": "10.0.0.1"} for node in names(nodes)}
    (folder / "nodes.yaml").write_text(yaml.safe_dump(facts))
    issued = {node: hashlib.sha256(_token(node).encode()).hexdigest() for node in names(nodes)}
    (folder / "tokens/issued.yaml").write_text(yaml.safe_dump(issued))
    settings = {
        "name": "bench",
        "salt_master_config": "salt",
        "registry": (folder / "registry").as_uri(),
        "documents": (folder / "documents").as_uri(),
        "nodes": "nodes.yaml",
        "trust": {"bench": new_signing_key(folder / "signing.key")},
        "cache": "cache",
    }
    (folder / "fleet.yaml").write_text(yaml.safe_dump(settings))
    return Fleet.load(folder / "fleet.yaml")


def _token(node: str) -> str:
    return f"token of {node}"


def pillar_cpu_s(fleet: Fleet, nodes: list[str]) -> float:
    """Processor time of what evctl adds to one node's pillar; the quickest of a few."""
    best = float("inf")
    for node in nodes[:PILLARS]:
        began = time.process_time()
        node_pillar(
            node, {tokens.GRAIN: _token(node)}, str(fleet.path), str(fleet.path.parent / "tokens")
        )
        best = min(best, time.process_time() - began)
    return best


def simulate(nodes: int, master_cores: int, folder: Path) -> dict[str, Any]:
    """One rollout of all nodes; its row."""
    fleet = write_fleet(folder, nodes)
    documents = fleet.documents()
    clock = SimulatedClock()
    rollout = start(documents, lambda new: document(nodes, new, clock.monotonic()), clock.monotonic)
    documents.want(dict.fromkeys(names(nodes), OLD))
    documents.lock(rollout.nodes, rollout.id, time.time(), 60, "bench")  # as while it runs
    poll_cpu_s = _of("pillar_cpu_s") + pillar_cpu_s(fleet, names(nodes))
    documents.leave(rollout.id, "bench")
    polls_s = nodes / POLL_S
    # Of an overwhelmed master next to nothing is left.
    cores = max(CORES_MIN, master_cores - polls_s * poll_cpu_s)
    simulated = SimulatedFleet(nodes, clock, cores)
    driven = time.process_time()
    began = clock.monotonic()
    list(simulated.call(names(nodes), "evrelease.status", {}, 15.0))  # what the plan asks
    ended = drive(documents, simulated, rollout.id, lambda *_: None, clock.monotonic, clock=clock)
    return {
        "nodes": nodes,
        "master_cores": master_cores,
        "state": ended.state,
        "waves": len(ended.waves),
        "wall_s": round(clock.monotonic() - began, 1),
        "driver_cpu_s": round(time.process_time() - driven, 1),
        **_peaks(simulated.load),
        "polls_per_s": round(polls_s, 1),
        "poll_cpu_ms": round(poll_cpu_s * 1000, 1),
        "master_cores_for_polls": round(polls_s * poll_cpu_s, 1),
    }


def _peaks(load: Load) -> dict[str, Any]:
    """The busiest second of each."""

    def peak(counted: Counter[int]) -> int:
        return max(counted.values(), default=0)

    return {
        "jobs_per_s": peak(load.jobs),
        "messages_per_s": peak(load.messages),
        "published_mb_per_s": round(peak(load.published_bytes) / 1e6, 1),
        "registry_requests_per_s": peak(load.fetches),
        "registry_mb_per_s": round(peak(load.fetched_bytes) / 1e6),
    }


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """In Markdown, a column for each size."""
    sizes = (f"{row['nodes']:,} nodes" for row in rows)
    yield f"| | {' | '.join(sizes)} |"
    yield f"|---|{'---:|' * len(rows)}"
    for name in list(rows[0])[1:]:
        cells = (row[name] if isinstance(row[name], str) else f"{row[name]:,}" for row in rows)
        yield f"| {name} | {' | '.join(cells)} |"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.rollout.at_size", description=(__doc__ or "").split("\n")[0]
    )
    parser.parse_args()
    BUILD.mkdir(exist_ok=True)
    rows = []
    for nodes, master_cores in SIZES:
        with TemporaryDirectory(dir=BUILD) as folder:
            rows.append(simulate(nodes, master_cores, Path(folder)))
        print(f"{nodes} nodes: {rows[-1]['state']}", file=sys.stderr, flush=True)
    print("\n".join(table(rows)))
    document_ = {
        "latencies": {name: vars(latency) for name, latency in LATENCIES.items()},
        "rows": rows,
    }
    (BUILD / "bench-rollout-at-size.json").write_text(json.dumps(document_, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
