"""The tarball of a release: written so that the same tree gives the same bytes, and read as if an
enemy had written it.

    app/…              the app's files
    wheels/…           its dependencies
    requirements.lock  their names and hashes

Uncompressed: see docs/decisions/0001-uncompressed-tarball.md.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path

from artifacts.errors import EvctlError
from artifacts.manifest import Manifest

CHUNK_BYTES = 1 << 20
NAME_BYTES_MAX = 1024
PART_BYTES_MAX = 255
LOCK = "requirements.lock"

# What tarfile and the file system raise at nonsense: headers that nest or number without end, a
# name that is a file and a folder. Not OSError as a whole: a full disk is nobody's attack.
UNREADABLE = (
    *(tarfile.TarError, EOFError, ValueError, ArithmeticError, LookupError, RecursionError),
    *(FileExistsError, IsADirectoryError, NotADirectoryError),
)


class UnsafeArchive(EvctlError):
    code = "E2104"
    exit_code = 4
    explanation = (
        "A tarball holds something that no release of evctl holds: a link, a device, an absolute "
        "or climbing path, a name twice, a file that the signed manifest doesn't name, or one with "
        "another content. Nothing of it is left."
    )


def write(tarball: Path, files: Mapping[str, Path]) -> None:
    """Pack files under their names. Sorted; no times, owners or modes but 0644 and 0755."""
    with (
        tarball.open("wb") as out,
        tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT, encoding="utf-8") as archive,
    ):
        for name in sorted(files):
            path = files[name]
            member = tarfile.TarInfo(name)
            member.size = path.stat().st_size
            member.mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            with path.open("rb") as file:
                archive.addfile(member, file)
        out.flush()
        os.fsync(out.fileno())


def unpack(tarball: Path, manifest: Manifest, dest: Path) -> None:
    """Unpack a release into the folder `dest`, checking each file against the manifest.

    UnsafeArchive, naming the member: the caller removes `dest`, whatever is in it by then.
    """
    expected = manifest.files | manifest.wheels
    seen: set[str] = set()
    try:
        with tarfile.open(tarball, mode="r:", encoding="utf-8") as archive:
            for member in archive:
                _check(member, expected, seen)
                seen.add(member.name)
                source = archive.extractfile(member)
                if source is None:
                    raise _unsafe(member.name, "has no content")
                path = dest / member.name
                path.parent.mkdir(parents=True, exist_ok=True)
                digest = hashlib.sha256()
                with source, path.open("xb") as file:
                    while chunk := source.read(CHUNK_BYTES):
                        digest.update(chunk)
                        file.write(chunk)
                if digest.hexdigest() != expected[member.name]:
                    raise _unsafe(member.name, "has another content than the manifest says")
                path.chmod(0o755 if member.mode & 0o100 else 0o644)
    except UNREADABLE as error:
        raise _unsafe(tarball.name, f"can't be read: {error}") from error
    if missing := sorted(set(expected) - seen):
        raise _unsafe(missing[0], f"is missing, with {len(missing) - 1} others")


def _check(member: tarfile.TarInfo, expected: Mapping[str, str], seen: set[str]) -> None:
    name = member.name
    if not member.isreg() or member.issparse():
        raise _unsafe(name, "is a link, a device or a folder: a release holds regular files only")
    if name.startswith("/") or len(name.encode(errors="surrogateescape")) > NAME_BYTES_MAX:
        raise _unsafe(name, "has an absolute path, or one that is too long")
    if any(part in ("", ".", "..") for part in name.split("/")) or "\0" in name:
        raise _unsafe(name, "has a path that climbs")
    if any(len(part.encode(errors="surrogateescape")) > PART_BYTES_MAX for part in name.split("/")):
        raise _unsafe(name, "has a path that no file can have")
    if member.size < 0:
        raise _unsafe(name, "has a negative size")
    if name not in expected:
        raise _unsafe(name, "isn't named by the manifest")
    if name in seen:
        raise _unsafe(name, "is there twice")


def _unsafe(name: str, why: str) -> UnsafeArchive:
    return UnsafeArchive(
        f"the tarball isn't safe: {name[:200]!r} {why}",
        next_step="find out who wrote it; make and publish a new release",
    )
