"""Apps that the process contract is tested with: placed on a node by hand, without a release."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from artifacts.layout import MANIFEST, Layout
from artifacts.manifest import Manifest, encode

REPOSITORY = Path(__file__).resolve().parents[2]
FOREIGN = REPOSITORY / "tests/foreign"
READY_S = 15.0
DRAIN_S = 4.0


@dataclass(frozen=True)
class App:
    """One role of an app: its code's folder, and its settings, given a folder for data."""

    role: str
    folder: Path
    command: tuple[str, ...]

    def settings(self, data: Path) -> dict[str, str]:
        return {} if self.folder == FOREIGN else {"data": f"file://{data}"}


def _eventstore(role: str) -> App:
    return App(role, REPOSITORY, (sys.executable, "-m", "eventstore", role))


APPS = {
    "foreign": App("web", FOREIGN, (sys.executable, "-m", "web")),
    "collector": _eventstore("collector"),
    "processor": _eventstore("processor"),
    "postprocessor": _eventstore("postprocessor"),
}


def release_id(number: int) -> str:
    return f"1.0.{number}-{number:012x}"


def place(layout: Layout, app: App, release: str, *, ready_s: float = READY_S) -> None:
    """What a prefetch leaves behind, as far as an engine looks at it."""
    folder = layout.release(release)
    (folder / "roles").mkdir(parents=True)
    script = folder / "roles" / app.role
    code = shlex.quote(str(app.folder))
    script.write_text(f"#!/bin/sh\ncd {code} && exec {shlex.join(app.command)}\n")
    script.chmod(0o755)
    facts = {
        "command": list(app.command),
        "listen": 8090,
        "ready_s": ready_s,
        "drain_s": DRAIN_S,
        "schemas": {"reads": {}, "writes": {}},
    }
    manifest = Manifest(
        release=release,
        app="contract",
        version=release.rpartition("-")[0],
        python="3.11",
        commit="0" * 40,
        created_at="2026-01-01T00:00:00Z",
        tarball_sha256=release[-12:] + "0" * 52,
        tarball_bytes=1,
        files={},
        wheels={},
        roles={app.role: facts},
    )
    (folder / MANIFEST).write_bytes(encode(manifest))


def write_settings(path: Path, settings: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(settings))
