"""What a role costs on SQS and DynamoDB: rows of the table, measured on a stub that answers at once
(bench/aws_stub.py). None of them says how fast AWS is, or any engine that stands in for it."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.aws_stub import NAME
from bench.processes import Measured, load, roles, running, until

DRAIN_S_MAX = 300.0
BATCH = 500


@dataclass(frozen=True)
class Cost:
    """events_s: by one core. boto3_share: of that core's time."""

    events_s: float
    boto3_share: float


@contextmanager
def stub() -> Iterator[Measured]:
    with running("stub of AWS", (sys.executable, "-m", "bench.aws_stub"), listens=True) as one:
        yield one


def costs(folder: Path, seconds: float) -> tuple[Cost, Cost]:
    """Of a collector through SQS, and of a processor from SQS into DynamoDB."""
    with stub() as aws:
        collector, events = _collector(folder, aws, seconds)
        return collector, _processor(folder, aws, events)


def _collector(folder: Path, aws: Measured, seconds: float) -> tuple[Cost, float]:
    with _role("collector", folder, aws) as one:
        used = one.cpu_s()
        events = load(one.port, seconds=seconds, connections=8, batch=BATCH)["events"]
        cpu_s = one.cpu_s() - used
    return _cost("collector", folder, events, cpu_s), events


def _processor(folder: Path, aws: Measured, events: float) -> Cost:
    packs = _waiting(aws)
    with _role("processor", folder, aws) as one:
        used = one.cpu_s()
        until(lambda: _waiting(aws) == 0, DRAIN_S_MAX)
        cpu_s = one.cpu_s() - used
    print(f"    {events / packs:.0f} events a pack")
    return _cost("processor", folder, events, cpu_s)


@contextmanager
def _role(name: str, folder: Path, aws: Measured) -> Iterator[Measured]:
    place = f"{NAME}?region=eu-central-1&endpoint=http://127.0.0.1:{aws.port}"
    urls = {"queue": f"sqs://{place}", "store": f"dynamodb://{place}"}
    with roles(folder, (name,), urls, program="bench.aws_role") as (one,):
        yield one


def _cost(name: str, folder: Path, events: float, cpu_s: float) -> Cost:
    spent = json.loads((folder / f"{name}.calls.json").read_text())
    aws, boto3 = (spent[one] / 1e6 / cpu_s for one in ("aws", "boto3"))
    each_ms = spent["aws"] / spent["calls"] / 1000
    print(
        f"    {name}: {cpu_s * 1e6 / events:.2f} µs of processor time an event; {aws:.0%} in"
        f" {spent['calls']} calls of AWS, {each_ms:.2f} ms each; {boto3:.0%} in boto3"
    )
    return Cost(events / cpu_s, boto3)


def _waiting(aws: Measured) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{aws.port}/", timeout=10) as answer:
        waiting: int = json.loads(answer.read())
    return waiting
