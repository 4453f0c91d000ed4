"""`make faults`: plays each fault, prints the table, writes build/rollout-faults.json.

python -m faults                        all of them
python -m faults two-operators          only this one
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

from artifacts.errors import EvctlError
from cli.lab.operate import choose_driver
from cli.lab.spec import REPOSITORY
from demo.evctl import UnexpectedExit
from eventstore.errors import EventStoreError
from faults.play import Playing
from faults.rows import document, table
from faults.table import FAULTS


def main() -> int:
    """Exit codes: 0 every row is as it must be · 1 one isn't · 2 usage."""
    names = [fault.name for fault in FAULTS]
    parser = argparse.ArgumentParser(
        prog="python -m faults", description=__doc__, epilog=f"faults: {', '.join(names)}"
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--driver", choices=("auto", "nspawn", "process"), default="auto")
    given = parser.parse_args()
    if unknown := ", ".join(set(given.names) - set(names)):
        parser.error(f"no such fault: {unknown}: one of {', '.join(names)}")
    chosen = [fault for fault in FAULTS if not given.names or fault.name in given.names]
    driver, why_driver = choose_driver(given.driver)
    not_run = {fault.name: why for fault in chosen if (why := fault.obstacle(driver))}
    playing = Playing(driver, REPOSITORY / "build/faults")
    try:
        rows = playing.play([fault for fault in chosen if fault.name not in not_run])
    except (UnexpectedExit, TimeoutError, EvctlError, EventStoreError) as error:
        print(f"the run broke off: {error}", file=sys.stderr)
        return 1
    facts = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "driver": driver,
        "why_driver": why_driver,
        "cores": os.cpu_count(),
        "not_run": not_run,
    }
    written = REPOSITORY / "build/rollout-faults.json"
    written.write_text(json.dumps(document(rows, facts), indent=1) + "\n")
    for line in table(rows):
        print(line)
    for name, obstacle in not_run.items():
        print(f"? {name:32}not run: {obstacle}")
    print(f"written to {_shown(written)}", file=sys.stderr)
    return 0 if all(row.ok for row in rows) else 1


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


if __name__ == "__main__":
    raise SystemExit(main())
