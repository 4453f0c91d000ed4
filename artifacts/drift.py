"""Whether a release on this node is still what was installed: its app, its scripts, its packages.

The app is compared with the signed manifest; the packages with what their installer has recorded.
"""

from __future__ import annotations

import base64
import csv
import hashlib
from collections.abc import Iterator
from pathlib import Path

from artifacts.install import role_script
from artifacts.layout import MANIFEST
from artifacts.manifest import Manifest, encode

FOUND_MAX = 20


def changed_files(folder: Path, manifest: Manifest) -> list[str]:
    """What was changed, added or is missing, in words; the first of them."""
    found: list[str] = []
    for said in _all(folder, manifest):
        if len(found) == FOUND_MAX:
            return [*found, "and more"]
        found.append(said)
    return found


def _all(folder: Path, manifest: Manifest) -> Iterator[str]:
    expected = {**manifest.files, MANIFEST: hashlib.sha256(encode(manifest)).hexdigest()}
    for name, digest in sorted(expected.items()):
        yield from _compared(folder / name, name, digest)
    app = folder / "app"
    for path in sorted(app.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name not in manifest.files and not path.is_dir() and "__pycache__" not in path.parts:
            yield f"{name} was added"
    for role, facts in sorted(manifest.roles.items()):
        script = role_script(folder, tuple(facts["command"])).encode()
        name = f"roles/{role}"
        yield from _compared(folder / name, name, hashlib.sha256(script).hexdigest())
    for record in sorted(folder.glob("venv/lib/python*/site-packages/*.dist-info/RECORD")):
        yield from _changed_packages(folder, record)


def _changed_packages(folder: Path, record: Path) -> Iterator[str]:
    packages = record.parent.parent
    with record.open(newline="") as file:
        for name, digest, *_ in csv.reader(file):
            kind, _, encoded = digest.partition("=")
            if kind == "sha256":
                path = packages / name
                expected = base64.urlsafe_b64decode(f"{encoded}==").hex()
                said = path.resolve().relative_to(folder.resolve()).as_posix()
                yield from _compared(path, said, expected)


def _compared(path: Path, name: str, sha256: str) -> Iterator[str]:
    try:
        with path.open("rb") as file:
            same = hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except OSError:
        yield f"{name} is missing"
    else:
        if not same:
            yield f"{name} was changed"
