"""The rows of the table: each measures one thing, and its baseline in the same run.

A row is printed, and written with its name as {"value", "unit", "baseline", "ratio"}.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from bench import glue
from bench.aws_rows import Cost, costs
from bench.events import templates
from bench.processes import Measured, load, roles, until
from eventstore.query.read import open_reader

DRAIN_S_MAX = 300.0
STORE = ("collector", "processor", "processor", "postprocessor")


@dataclass(frozen=True)
class Row:
    """reach: what is aimed at; reach_ratio: the same of the ratio to the baseline."""

    value: float
    unit: str
    baseline: float | None
    baseline_is: str
    reach: float
    reach_ratio: float | None = None
    less_is_better: bool = False

    @property
    def ratio(self) -> float | None:
        return self.value / self.baseline if self.baseline else None

    def to_json(self) -> dict[str, object]:
        return {
            "value": round(self.value, 2),
            "unit": self.unit,
            "baseline": None if self.baseline is None else round(self.baseline, 2),
            "ratio": None if self.ratio is None else round(self.ratio, 2),
        }


@dataclass
class Seen:
    """What earlier rows found out that later ones need."""

    seconds: float
    folder: Path
    end_to_end: float = 0.0
    rss_peak_mib: float = 0.0
    rss_peak_of: str = ""
    embedded: dict[str, float] = field(default_factory=dict)  # role → events a second and core
    on_aws: tuple[Cost, Cost] | None = None

    @contextmanager
    def place(self) -> Iterator[Path]:
        """An empty folder on the disk, gone afterwards."""
        with TemporaryDirectory(dir=self.folder) as name:
            yield Path(name)

    def watch(self, processes: Sequence[Measured]) -> None:
        """Keeps the largest process in mind."""
        for one in processes:
            if one.rss_peak_mib() > self.rss_peak_mib:
                self.rss_peak_mib, self.rss_peak_of = one.rss_peak_mib(), one.name


def end_to_end(seen: Seen) -> Row:
    value = seen.end_to_end = _whole(seen, {})
    return Row(value, "events/s", _glue(seen), "the usual glue", 400_000, 8)


def with_transform(seen: Seen) -> Row:
    value = _whole(seen, {"transforms": ["bench.transforms:page"]})
    baseline = _glue(seen, transform=True)
    return Row(value, "events/s", baseline, "the usual glue", 250_000, 5)


def collector_batches(seen: Seen) -> Row:
    with seen.place() as folder, roles(folder, ("collector",)) as (collector,):
        used = collector.cpu_s()
        sent = load(collector.port, seconds=seen.seconds, connections=8)
        value = sent["events"] / (collector.cpu_s() - used)
        seen.embedded["collector"] = value
        seen.watch([collector])
    lines = templates(500, 1)[0].split(b"\n")
    baseline = _rate(lambda: [orjson.loads(line) for line in lines], len(lines))
    return Row(value, "events/s a core", baseline, "orjson.loads", 600_000)


def collector_single(seen: Seen) -> Row:
    with seen.place() as folder, roles(folder, ("collector",)) as (collector,):
        used = collector.cpu_s()
        sent = load(collector.port, seconds=seen.seconds, connections=64, batch=1)
        value = sent["requests"] / (collector.cpu_s() - used)
        print(f"    64 connections: p50 {sent['p50_ms']:.1f} ms, p99 {sent['p99_ms']:.1f} ms")
    with seen.place() as folder, roles(folder, ("processor",)) as (empty,):
        used = empty.cpu_s()
        sent = load(empty.port, seconds=seen.seconds / 2, connections=64, batch=1, empty=1)
        baseline = sent["requests"] / (empty.cpu_s() - used)
    return Row(value, "requests/s a core", baseline, "/livez", 20_000, 0.6)


def processor(seen: Seen) -> Row:
    with seen.place() as folder:
        with roles(folder, ("collector",)) as (collector,):
            events = load(collector.port, seconds=seen.seconds, connections=8)["events"]
        with roles(folder, ("processor",)) as (alone,):
            used = alone.cpu_s()  # by what it imports, once
            reader = open_reader(folder.as_uri())
            until(lambda: reader.pending().packs == 0, DRAIN_S_MAX)
            value = events / (alone.cpu_s() - used)
            seen.embedded["processor"] = value
            reader.close()
            seen.watch([alone])
    lines = templates(500, 1)[0].split(b"\n")
    baseline = _rate(lambda: [orjson.dumps(orjson.loads(line)) for line in lines], len(lines))
    return Row(value, "events/s a core", baseline, "loads + dumps", 400_000)


def acknowledgement(seen: Seen) -> Row:
    rate = (seen.end_to_end or 200_000) / 2
    with seen.place() as folder, roles(folder, STORE) as running:
        sent = load(running[0].port, seconds=seen.seconds, connections=32, rate=rate)
        seen.watch(running)
    return Row(sent["p99_ms"], "ms p99", None, "–", 20, less_is_better=True)


def memory(seen: Seen) -> Row:
    if not seen.rss_peak_mib:  # it is the only row that was asked for
        _whole(seen, {})
    print(f"    the largest process: {seen.rss_peak_of}")
    return Row(seen.rss_peak_mib, "MiB", None, "–", 150, less_is_better=True)


def collector_on_aws(seen: Seen) -> Row:
    value, baseline = _aws(seen)[0].events_s, seen.embedded.get("collector")
    return Row(value, "events/s a core", baseline, "the embedded engines", 150_000)


def processor_on_aws(seen: Seen) -> Row:
    value, baseline = _aws(seen)[1].events_s, seen.embedded.get("processor")
    return Row(value, "events/s a core", baseline, "the embedded engines", 150_000)


def boto3_in_collector(seen: Seen) -> Row:
    return Row(100 * _aws(seen)[0].boto3_share, "% of its time", None, "–", 20, less_is_better=True)


def boto3_in_processor(seen: Seen) -> Row:
    return Row(100 * _aws(seen)[1].boto3_share, "% of its time", None, "–", 20, less_is_better=True)


ROWS: dict[str, Callable[[Seen], Row]] = {
    "e2e_batch500": end_to_end,
    "e2e_transform": with_transform,
    "collector_batch500": collector_batches,
    "collector_single": collector_single,
    "processor": processor,
    "ack_paced": acknowledgement,
    "rss_peak_mib": memory,
    "collector_aws": collector_on_aws,
    "processor_aws": processor_on_aws,
    "boto3_in_collector": boto3_in_collector,
    "boto3_in_processor": boto3_in_processor,
}


def _whole(seen: Seen, settings: dict[str, Any]) -> float:
    with seen.place() as folder, roles(folder, STORE, settings) as running:
        return through(seen, folder, running)


def through(seen: Seen, folder: Path, running: Sequence[Measured]) -> float:
    """Events a second, from the first byte sent until all are stored and aggregated."""
    reader = open_reader(folder.as_uri())
    used = [one.cpu_s() for one in running]
    began = time.monotonic()
    sent = load(running[0].port, seconds=seen.seconds, connections=8)
    events = sent["events"]
    until(reader.drained, DRAIN_S_MAX)
    took_s = time.monotonic() - began
    reader.close()
    costs = {one.name: 0.0 for one in running} | {"load": sent["cpu_s"]}
    for one, before in zip(running, used, strict=True):
        costs[one.name] += one.cpu_s() - before
    each = ", ".join(f"{name} {cost * 1e6 / events:.2f}" for name, cost in costs.items())
    print(f"    µs of processor time an event: {each}")
    seen.watch(running)
    return events / took_s


def _aws(seen: Seen) -> tuple[Cost, Cost]:
    """Measured once for all its rows."""
    if seen.on_aws is None:
        with seen.place() as folder:
            seen.on_aws = costs(folder, seen.seconds)
    return seen.on_aws


def _glue(seen: Seen, *, transform: bool = False) -> float | None:
    if shutil.which("redis-server") is None:
        return None
    with seen.place() as folder, glue.glue(folder, transform=transform) as running:
        began = time.monotonic()
        events = load(running[0].port, seconds=seen.seconds / 2, connections=8)["events"]
        until(lambda: glue.stored(folder) >= events, DRAIN_S_MAX)
        return events / (time.monotonic() - began)


def _rate(work: Callable[[], object], items: int) -> float:
    """Items a second of processor time, the quickest of a few rounds."""
    best = 0.0
    for _ in range(5):
        began = time.process_time()
        for _ in range(50):
            work()
        best = max(best, 50 * items / (time.process_time() - began))
    return best
