"""What one node and its master take, measured on a lab that is up: what `at_size` begins from.

python -m bench.rollout.latencies --lab build/labs/benchr
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path

from cli.fleet import Fleet
from cli.lab import master, traces
from cli.lab.spec import Lab, load_lab
from cli.salt_client import SaltClient

JOBS = 20
LIMIT_S = 30.0
TICKS = os.sysconf("SC_CLK_TCK")


def measure(lab: Lab) -> dict[str, float]:
    """Medians of one job on all nodes at once. Asks them, and changes nothing."""
    fleet = Fleet.load(lab.fleet_file)
    client = SaltClient(fleet.config.salt_master_config, fleet.config.network_namespace)
    nodes = sorted(fleet.nodes())
    run = _Jobs(lab, client, nodes)
    run("test.ping", 1)  # connected, and everything is imported
    ping = run("test.ping", JOBS)
    status = run("evrelease.status", JOBS)
    pillar = run("pillar.items", JOBS)
    return {
        "publish_s": ping.first_s,
        "status_s": max(0.0, statistics.median(status.first) - ping.first_s),
        "return_cpu_s": ping.master_cpu_s,
        "return_driver_s": ping.driver_cpu_s,
        "pillar_cpu_s": max(0.0, pillar.master_cpu_s - ping.master_cpu_s),
    }


class _Figures:
    def __init__(self, first: list[float], master_cpu_s: float, driver_cpu_s: float) -> None:
        self.first = first
        self.first_s = statistics.median(first)
        self.master_cpu_s = master_cpu_s
        self.driver_cpu_s = driver_cpu_s


class _Jobs:
    def __init__(self, lab: Lab, client: SaltClient, nodes: list[str]) -> None:
        self._lab, self._client, self._nodes = lab, client, nodes

    def __call__(self, function: str, jobs: int) -> _Figures:
        """first: seconds to a job's first return; processor time is for each return."""
        first = []
        cpu, own = self._master_cpu_s(), time.process_time()
        for _ in range(jobs):
            began = time.monotonic()
            returns = self._client.call(self._nodes, function, {}, LIMIT_S)
            next(returns)
            first.append(time.monotonic() - began)
            for _ in returns:
                pass
        answers = jobs * len(self._nodes)
        return _Figures(
            first,
            (self._master_cpu_s() - cpu) / answers,
            (time.process_time() - own) / answers,
        )

    def _master_cpu_s(self) -> float:
        pids = traces.of_part(self._lab, master.PART)
        return sum(_cpu_s(pid) for pid in pids)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.rollout.latencies", description=__doc__)
    parser.add_argument("--lab", type=Path, required=True, help="the folder of a lab that is up")
    root = parser.parse_args().lab.resolve()
    lab = load_lab(root)
    if lab is None:
        parser.error(f"no lab at {root}")
    print(json.dumps({name: round(value, 5) for name, value in measure(lab).items()}, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
