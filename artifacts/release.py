"""From an app's tree to a tarball and its manifest. Nothing is published here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from artifacts import tarball, tree, wheels
from artifacts.app import App
from artifacts.manifest import Manifest, release_id

Progress = Callable[[str], None]


def build(
    app: App,
    out: Path,
    *,
    wheels_cache: Path,
    allow_dirty: bool = False,
    progress: Progress,
) -> tuple[Path, Manifest]:
    """<out>/<release>.tar and its manifest: the same bytes for the same commit on any machine.

    DirtyTree, NotARepository, UnpackableFile, WheelsFailed.
    """
    if not allow_dirty:
        tree.refuse_dirty(app)
    commit = tree.commit_of(app)
    files = {f"app/{name}": path for name, path in tree.files_of(app).items()}
    brought: dict[str, Path] = {}
    if app.requirements:
        progress(f"wheels of {app.requirements.name}")
        found = wheels.wheels_of(app.requirements, wheels_cache, app.python)
        brought = {f"wheels/{name}": path for name, path in found.items()}
        files[tarball.LOCK] = app.requirements
    progress(f"{len(files)} files, {len(brought)} wheels")

    out.mkdir(parents=True, exist_ok=True)
    aside = out / f".{app.name}.tar"
    tarball.write(aside, files | brought)
    digest = _digest(aside)
    release = release_id(app.version, digest)
    packed = aside.rename(out / f"{release}.tar")
    return packed, Manifest(
        release=release,
        app=app.name,
        version=app.version,
        python=app.python,
        commit=commit.id,
        created_at=commit.at,
        tarball_sha256=digest,
        tarball_bytes=packed.stat().st_size,
        files={name: _digest(path) for name, path in sorted(files.items())},
        wheels={name: _digest(path) for name, path in sorted(brought.items())},
        roles={name: role.to_json() for name, role in sorted(app.roles.items())},
        closed=app.closed,
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
