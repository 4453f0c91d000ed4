"""`python -m eventstore events TOOL …`: finds the tool and its settings, says what went wrong."""

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eventstore import settings
from eventstore.errors import EventStoreError, SettingsError
from eventstore.tools import TOOLS
from eventstore.tools.tool import print_json

FAILED_EXIT, USAGE_EXIT = 1, 2


def run_tool(argv: Sequence[str]) -> int:
    """The exit code: 0 done, 1 failed or not as it should be, 2 usage or settings."""
    given = _parser().parse_args(argv)
    try:
        options = settings.load(Path(given.settings)) if given.settings else settings.Settings()
        if given.data:
            none: dict[str, Any] = dict.fromkeys(settings.ENGINES, "")
            options = dataclasses.replace(options, data=given.data, placement="auto", **none)
        return TOOLS[given.tool].run(given, options)
    except (EventStoreError, ValueError) as error:
        if given.json:
            print_json({"error": {"reason": str(error)}})
        print(f"events {given.tool}: {error}", file=sys.stderr)
        usage = isinstance(error, SettingsError | ValueError)
        return USAGE_EXIT if usage else FAILED_EXIT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="events", description="Questions to the event store.", allow_abbrev=False
    )
    tools = parser.add_subparsers(dest="tool", metavar="TOOL", required=True)
    for name, tool in TOOLS.items():
        one = tools.add_parser(
            name,
            help=tool.says,
            description=tool.says,
            epilog="\n".join(["examples:", *(f"  events {said}" for said in tool.examples)]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        one.add_argument(
            "--settings",
            default=os.environ.get("EV_SETTINGS"),
            help="a role's settings (default: EV_SETTINGS, else all defaults)",
        )
        one.add_argument("--data", help="another data URL than the settings have")
        one.add_argument("--json", action="store_true", help="print JSON")
        tool.arguments(one)
    return parser
