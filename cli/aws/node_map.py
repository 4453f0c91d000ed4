"""The master's map of nodes, a line each: what people wrote there stays as it is."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cli.fleet import FleetError


def add(path: Path, nodes: Mapping[str, Mapping[str, Any]]) -> None:
    """At the end. FleetError when the file's form doesn't allow it."""
    lines = [f"{node}: {json.dumps(facts)}" for node, facts in nodes.items()]
    if lines:
        _replace(path, [*path.read_text().splitlines(), *lines], {**_read(path), **nodes})


def remove(path: Path, node: str) -> Mapping[str, Any]:
    """One that add() has written; what it said. FleetError."""
    said = _read(path)
    facts: Mapping[str, Any] = said.pop(node)
    lines = path.read_text().splitlines()
    _replace(path, [line for line in lines if line.partition(":")[0] != node], said)
    return facts


def _read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text()) or {}


def _replace(path: Path, lines: list[str], meant: Mapping[str, Any]) -> None:
    text = "\n".join([*lines, ""])
    if not _says(text, meant):
        raise FleetError(
            f"{path}: its nodes can't be changed",
            why="it isn't one `node: {…}` a line, as docs/operations.md has it",
            next_step="write it so",
        )
    aside = path.with_name(f"{path.name}.new")
    aside.write_text(text)
    shutil.copymode(path, aside)
    os.chown(aside, path.stat().st_uid, path.stat().st_gid)  # the master reads it too
    aside.rename(path)


def _says(text: str, meant: Mapping[str, Any]) -> bool:
    try:
        return (yaml.safe_load(text) or {}) == meant
    except yaml.YAMLError:
        return False
