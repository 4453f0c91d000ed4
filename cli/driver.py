"""A rollout's driver in a process of its own: `python -m cli.driver FLEET ROLLOUT`.

Nobody reads what it prints: what stops it is in the rollout's document.
"""

from __future__ import annotations

import sys
from pathlib import Path

from cli.commands.carrying import drive_here
from cli.output import Output


def main(fleet_file: str, rollout_id: str) -> None:
    output = Output(fleet=Path(fleet_file), color=False, quiet=True)
    fleet = output.load_fleet()
    drive_here(output, fleet, fleet.documents().load(rollout_id).document, as_json=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
