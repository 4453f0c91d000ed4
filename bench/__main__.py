"""`make bench`: the table on the terminal, and build/bench.json."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

from bench.rows import ROWS, Row, Seen

BUILD = Path(__file__).resolve().parents[1] / "build"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        epilog="example: python -m bench e2e_transform processor --seconds 30",
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"all, or of {', '.join(ROWS)}")
    parser.add_argument("--seconds", type=float, default=10, help="of load for each figure")
    given = parser.parse_args()
    unknown = ", ".join(set(given.rows) - set(ROWS))
    if unknown:
        parser.error(f"no such row: {unknown}: one of {', '.join(ROWS)}")
    BUILD.mkdir(exist_ok=True)
    seen = Seen(given.seconds, BUILD)
    rows: dict[str, Row] = {}
    print(f"{'':20}{'measured':>12} {'':18}{'aim':>9}{'baseline':>12}{'ratio':>8}")
    for name, measure in ROWS.items():
        if not given.rows or name in given.rows:
            rows[name] = measure(seen)
            print(line(name, rows[name]), flush=True)
    document = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cores": os.cpu_count(),
        "seconds": given.seconds,
        "rows": [{"name": name, **row.to_json()} for name, row in rows.items()],
    }
    (BUILD / "bench.json").write_text(json.dumps(document, indent=1) + "\n")
    print(f"written to {BUILD / 'bench.json'}", file=sys.stderr)
    return 0


def line(name: str, row: Row) -> str:
    """One row, for people."""
    reached = row.value <= row.reach if row.less_is_better else row.value >= row.reach
    text = f"{name:20}{row.value:12,.0f} {row.unit:18}{row.reach:9,.0f}"
    if row.baseline is not None and row.ratio is not None:
        aim = f" (aim {row.reach_ratio:g})" if row.reach_ratio else ""
        text += f"{row.baseline:12,.0f}{row.ratio:8.2f}  of {row.baseline_is}{aim}"
        reached = reached and row.ratio >= (row.reach_ratio or 0)
    return f"{text}  {'✔' if reached else '!'}"


if __name__ == "__main__":
    raise SystemExit(main())
