"""The app's tool: says how it was called, and behaves as it is told."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["hang"]:
        time.sleep(600)
    while arguments[:1] == ["flood"]:
        print("x" * 65536)
    said = {
        "arguments": arguments,
        "environment": dict(os.environ),
        "folder": str(Path.cwd()),
        "user": os.geteuid(),
        "settings": Path(os.environ["EV_SETTINGS"]).read_text(),
    }
    print(json.dumps(said))
    print("asked", file=sys.stderr)
    return int(arguments[1]) if arguments[:1] == ["exit"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
