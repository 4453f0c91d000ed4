"""`make bench-rollout`: rollouts beside those of other tools, on the same six nodes under load.

A table on the terminal, and build/bench-rollout.json. Needs root and systemd-nspawn.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

from artifacts.errors import EvctlError
from bench.__main__ import BUILD
from bench.rollout.recipes import PORT
from bench.rollout.rows import Case, Row, json_lines, table, wave_overheads_s
from bench.rollout.stage import (
    EVCTL_PORT,
    EVCTL_ROOT,
    PEER_ROOT,
    RATE,
    Stage,
    wait_until_quiet,
)
from bench.rollout.tools import (
    TOOLS,
    Command,
    Tool,
    environment,
    inside,
    install_peers,
    write_recipes,
)
from cli.lab.nspawn import obstacle

COMMAND_S = 300.0
NOT_RUN_EXIT = 7
FILE = BUILD / "bench-rollout.json"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.rollout",
        description=__doc__,
        epilog="example: python -m bench.rollout evctl salt-batch",
    )
    parser.add_argument("tools", nargs="*", metavar="TOOL", help=f"all, or of {', '.join(TOOLS)}")
    names = parser.parse_args().tools or list(TOOLS)
    if unknown := ", ".join(set(names) - set(TOOLS)):
        parser.error(f"no such tool: {unknown}: one of {', '.join(TOOLS)}")
    if why := obstacle():
        print(f"not run: {why}", file=sys.stderr)
        return NOT_RUN_EXIT
    install_peers()
    stage = Stage()
    try:
        stage.up()
        with stage.drained():
            rows = measured(stage, names)
    except (EvctlError, TimeoutError, subprocess.SubprocessError) as error:
        print(f"the bench broke off: {error}", file=sys.stderr)
        return 1
    finally:
        stage.down()
    print("\n".join(table(rows)))
    return 0


def measured(stage: Stage, names: list[str]) -> list[Row]:
    """Written after every row, so that what breaks off keeps what it has."""
    write_recipes(stage)
    rows = []
    for name in names:
        for row in of_tool(stage, TOOLS[name]):
            rows.append(row)
            print(list(table([row]))[-1], file=sys.stderr, flush=True)
            write(rows)
    return rows


def of_tool(stage: Stage, tool: Tool) -> Iterator[Row]:
    """Each row begins with every node on the same release, whatever became of the row before."""
    bring(stage, tool, stage.old)
    stage.forget(stage.new)
    yield measure(stage, tool, "all-up", tool.to(stage, stage.new, True), prefetched=False)
    bring(stage, tool, stage.new)
    yield measure(stage, tool, "rollback", tool.back(stage))
    bring(stage, tool, stage.old)
    yield measure(stage, tool, "all-up", tool.to(stage, stage.new, False))
    bring(stage, tool, stage.old)
    with stage.one_off() as node:
        command = (*tool.to(stage, stage.new, False), *tool.with_one_off)
        yield measure(stage, tool, "one-down", command, off=node)


def bring(stage: Stage, tool: Tool, release: str) -> None:
    """Every node there, unmeasured."""
    if tool.name == "evctl":
        run(stage, tool, tool.to(stage, release, True)).check_returncode()
    else:
        stage.bring_peers(release)


def measure(
    stage: Stage,
    tool: Tool,
    case: Case,
    command: Command,
    *,
    prefetched: bool = True,
    off: str | None = None,
) -> Row:
    ours = tool.name == "evctl"
    busy = wait_until_quiet()
    with stage.traffic(EVCTL_PORT if ours else PORT) as traffic:
        began = time.monotonic()
        done = run(stage, tool, command)
        wall_s = time.monotonic() - began
    goal = stage.old if case == "rollback" else stage.new
    row = Row(
        name=tool.name,
        case=case,
        prefetched=prefetched,
        wall_s=round(wall_s, 2),
        requests_sent=traffic[0].sent,
        requests_failed=traffic[0].failed,
        exit_code=done.returncode,
        nodes_done=stage.serving(EVCTL_ROOT if ours else PEER_ROOT, goal),
        node_named=off in done.stdout + done.stderr if off else None,
        busy=round(busy, 2),
    )
    (stage.folder / f"{tool.name}-{case}-{'fetched' if prefetched else 'not'}.log").write_text(
        f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    )
    if not ours:
        return row
    return replace(row, wave_overhead_s=wave_overheads_s(json_lines(done.stdout)))


def run(stage: Stage, tool: Tool, command: Command) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        inside(stage, tool, command),
        cwd=stage.source.folder,
        env=environment(stage, tool),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )


def write(rows: list[Row]) -> None:
    document = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cores": os.cpu_count(),
        "requests_per_s": RATE,
        "rows": [row.to_json() for row in rows],
    }
    FILE.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
