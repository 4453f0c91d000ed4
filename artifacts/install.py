"""Prefetch: from the registry to a folder that can be activated, without touching what serves.

    room? → fetch → unpack → venv → import check → read-only → manifest.json

The folder's manifest is written last: without it, whatever is there is the rest of an interrupted
prefetch, and is removed and made anew. (A virtual environment can't be moved, so it can't be built
aside.)
"""

from __future__ import annotations

import os
import shlex
import time
from pathlib import Path
from typing import Any

from artifacts import disk, venv
from artifacts.layout import MANIFEST, Layout, remove_tree, sync_folder
from artifacts.manifest import Manifest, encode
from artifacts.node_errors import DiskFull
from artifacts.registry import Registry
from artifacts.tarball import unpack


def prefetch(
    layout: Layout, registry: Registry, release: str, python: Path | None = None
) -> dict[str, Any]:
    """{"release", "seconds", "fetched_bytes", "already"}. Call it with the node's lock held.

    DiskFull, InstallFailed, ImportCheckFailed, and whatever the registry raises; then nothing of
    the release is left but, where it helps the next try, its verified tarball.
    """
    began = time.monotonic()
    if layout.is_unpacked(release):
        return {"release": release, "seconds": 0.0, "fetched_bytes": 0, "already": True}
    fetched_bytes = fetch(layout, registry, release)
    tarball = _tarball(layout, release)
    try:
        with disk.telling_disk_full(layout.releases, release):
            install(layout, registry.manifest(release), tarball, python)
    except DiskFull:
        tarball.unlink(missing_ok=True)
        raise
    seconds = round(time.monotonic() - began, 3)
    return {
        "release": release,
        "seconds": seconds,
        "fetched_bytes": fetched_bytes,
        "already": False,
    }


def fetch(layout: Layout, registry: Registry, release: str) -> int:
    """The verified tarball in the cache; how many bytes that took. DiskFull, and whatever the
    registry raises."""
    _make_folders(layout)
    tarball = _tarball(layout, release)
    try:
        with disk.telling_disk_full(layout.releases, release):
            if not tarball.is_file():
                disk.check_room(layout.releases, registry.manifest(release).tarball_bytes, release)
            return registry.fetch(release, tarball)
    except DiskFull:
        tarball.with_name(f"{tarball.name}.part").unlink(missing_ok=True)
        raise


def _tarball(layout: Layout, release: str) -> Path:
    return layout.cache / "tarballs" / f"{release}.tar"


def install(layout: Layout, manifest: Manifest, tarball: Path, python: Path | None) -> None:
    """releases/<id>/ from a verified tarball, which is removed: whole, or not at all."""
    folder = layout.release(manifest.release)
    remove_tree(folder)
    try:
        folder.mkdir()
        unpack(tarball, manifest, folder)
        commands = {role: tuple(facts["command"]) for role, facts in manifest.roles.items()}
        wheels = _wheels_to_their_place(folder, layout.cache / "wheels")
        interpreter = venv.interpreter(manifest.python, python)
        others = [layout.release(one) for one in layout.unpacked()]
        venv.build_venv(folder, interpreter, wheels, layout.cache, others)
        remove_tree(wheels)
        for role, command in commands.items():
            _write_role(folder, role, command)
        venv.check_imports(folder, modules(commands.values()), others)
        _make_read_only(folder)
        tarball.unlink()  # before all that is left is synced
        _mark_complete(folder, manifest)
    except BaseException:
        remove_tree(folder)
        raise


def modules(commands: Any) -> set[str]:
    """Modules that roles run as `python -m module …`."""
    return {command[2] for command in commands if command[:2] == ("python", "-m") and command[2:]}


def argv_of(folder: Path, command: tuple[str, ...]) -> tuple[str, ...]:
    """A command of evctl.yaml as it runs from a release: `python` at its head is its own."""
    if command[0] == "python":
        return (str(folder / "venv/bin/python"), *command[1:])
    return command


def role_script(folder: Path, command: tuple[str, ...]) -> str:
    """What a generation executes."""
    argv = shlex.join(argv_of(folder, command))
    return f"#!/bin/sh\ncd {shlex.quote(str(folder / 'app'))} && exec {argv}\n"


def _write_role(folder: Path, role: str, command: tuple[str, ...]) -> None:
    script = folder / "roles" / role
    script.parent.mkdir(exist_ok=True)
    script.write_text(role_script(folder, command))
    script.chmod(0o555)


def _make_folders(layout: Layout) -> None:
    """Readable for the services whatever the umask; the caches are the node's own business."""
    for folder in (layout.releases.parent, layout.releases):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
    (layout.cache / "tarballs").mkdir(parents=True, exist_ok=True)


def _wheels_to_their_place(folder: Path, wheels: Path) -> Path:
    remove_tree(wheels)
    brought = folder / "wheels"
    if brought.is_dir():
        brought.rename(wheels)
    else:
        wheels.mkdir()
    return wheels


def _make_read_only(folder: Path) -> None:
    """Folders stay writable for their owner alone, so that a release can be removed."""
    folder.chmod(0o755)
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _make_read_only(Path(entry.path))
            elif not entry.is_symlink():  # venv/bin/python leads out of the release
                mode = entry.stat().st_mode & 0o7777
                wanted = 0o555 if mode & 0o100 else 0o444
                if mode != wanted:  # what is linked to was made so before
                    Path(entry.path).chmod(wanted)


def _mark_complete(folder: Path, manifest: Manifest) -> None:
    """Everything reaches the disk before the mark says that it has."""
    os.sync()
    aside = folder / f"{MANIFEST}.new"
    with aside.open("xb") as file:
        file.write(encode(manifest))
        file.flush()
        os.fsync(file.fileno())
    aside.chmod(0o444)
    aside.rename(folder / MANIFEST)
    sync_folder(folder)
    sync_folder(folder.parent)
