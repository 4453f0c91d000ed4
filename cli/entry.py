"""`evctl`, before anything of it is imported: an interrupt meanwhile is no traceback either."""

from __future__ import annotations

import sys

INTERRUPTED_EXIT = 130


def main() -> None:
    try:
        from cli.main import main as evctl
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED_EXIT)
    evctl()
