"""Faults that tests plant: by `fault: <name>` in the settings, or in the release's fault.txt."""

import os
from pathlib import Path

NAMES = {
    "none",
    "die",  # ends before READY
    "die-later",  # ends soon after READY
    "never-ready",  # never says READY
    "not-ready",  # says READY, but /readyz answers 503
    "unready-later",  # /readyz answers 503 once it was asked to
    "wrong-version",  # /version answers with another release
    "ignore-sigterm",  # drains for ever
}


def planted() -> str:
    """The fault to show; the release's own wins."""
    own = (Path(__file__).parent / "fault.txt").read_text().strip()
    name = own if own != "none" else _settings().get("fault", "none")
    if name not in NAMES:
        raise SystemExit(f"unknown fault: {name}")
    return name


def _settings() -> dict[str, str]:
    """Flat YAML, `key: value` a line: all that this app needs of it."""
    path = Path(os.environ["EV_SETTINGS"])
    if not path.exists():
        return {}
    lines = (line.partition(":") for line in path.read_text().splitlines() if ":" in line)
    return {key.strip(): value.strip().strip("'\"") for key, _, value in lines}
