"""Where things are on a node, and how the two links that say what serves are flipped."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from artifacts.manifest import Manifest, decode
from artifacts.node_errors import BadReleaseId, NodeSettingsError, NotUnpacked

# A release id is also a folder's name, a part of a socket's path and a systemd instance's name:
# nothing in it may need an escape there. The length keeps sockets below 107 bytes.
RELEASE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,26}-[0-9a-f]{12}")
MANIFEST = "manifest.json"
SOCKET_BYTES_MAX = 107


def check_release_id(release: str) -> str:
    """The id itself. BadReleaseId when it could mean anything else than one folder's name."""
    if not isinstance(release, str) or not RELEASE_ID.fullmatch(release):
        raise BadReleaseId(
            f"{str(release)[:80]!r} isn't a release id",
            why="an id is <version>-<12 hex digits>",
            next_step="evctl releases lists them",
        )
    return release


@dataclass(frozen=True)
class Layout:
    """The paths below a node's root. `run` holds the sockets."""

    root: Path
    run: Path

    @property
    def releases(self) -> Path:
        return self.root / "opt/evctl/releases"

    @property
    def cache(self) -> Path:
        return self.root / "opt/evctl/cache"

    @property
    def lock(self) -> Path:
        return self.root / "opt/evctl/node.lock"

    @property
    def logs(self) -> Path:
        return self.root / "var/log/evctl"

    @property
    def supervisor_roles(self) -> Path:
        """The supervisor's settings: one file a role."""
        return self.root / "etc/evctl/supervisor"

    def release(self, release: str) -> Path:
        return self.releases / check_release_id(release)

    def admin_socket(self, role: str, release: str) -> Path:
        path = self.run / f"{role}-{check_release_id(release)}.sock"
        if len(bytes(path)) > SOCKET_BYTES_MAX:
            raise NodeSettingsError(
                f"a generation's socket would need too long a path: {path}",
                why=f"a unix socket's path has at most {SOCKET_BYTES_MAX} bytes",
                next_step="give the node a shorter `run`",
            )
        return path

    def state(self, role: str) -> Path:
        """A folder of the role's own, which outlives its generations."""
        return self.root / "var/lib/evctl" / role

    def log(self, role: str, release: str) -> Path:
        return self.logs / f"{role}-{release}.log"

    def is_unpacked(self, release: str) -> bool:
        """The manifest is written last: a folder without it is an interrupted prefetch."""
        return (self.release(release) / MANIFEST).is_file()

    def unpacked(self) -> list[str]:
        """Ids of the releases that are complete here, the newest installed first."""
        marks = sorted(
            self.releases.glob(f"*/{MANIFEST}"),
            key=lambda mark: (mark.stat().st_mtime_ns, mark.parent.name),
            reverse=True,
        )
        return [mark.parent.name for mark in marks if RELEASE_ID.fullmatch(mark.parent.name)]

    def partial(self) -> list[str]:
        """Names in the releases' folder that are not complete releases."""
        if not self.releases.is_dir():
            return []
        whole = set(self.unpacked())
        return sorted(entry.name for entry in self.releases.iterdir() if entry.name not in whole)

    def manifest(self, release: str) -> Manifest:
        """The manifest of an unpacked release: verified when it was fetched. NotUnpacked."""
        if not self.is_unpacked(release):
            here = ", ".join(self.unpacked()) or "none"
            raise NotUnpacked(
                f"release {release} isn't on this node",
                why=f"unpacked here: {here}",
                next_step=f"evrelease.prefetch release={release}",
            )
        return decode((self.release(release) / MANIFEST).read_bytes())

    def current(self, role: str) -> str | None:
        """What `current/<role>` names; None when there is none. For people and for the boot."""
        return _named(self.root / "opt/evctl/current" / role)

    def last_good(self, role: str) -> str | None:
        return _named(self.root / "opt/evctl/last_good" / role)

    def set_current(self, role: str, release: str) -> None:
        self._flip("current", role, release)

    def clear_current(self, role: str) -> None:
        """Nothing is started at the next boot, nor when a connection waits."""
        folder = self.root / "opt/evctl/current"
        (folder / role).unlink(missing_ok=True)
        if folder.is_dir():
            sync_folder(folder)

    def set_last_good(self, role: str, release: str) -> None:
        self._flip("last_good", role, release)

    def _flip(self, link: str, role: str, release: str) -> None:
        """Whole or not at all, also across a power cut: aside, rename, sync the folder."""
        folder = self.root / "opt/evctl" / link
        folder.mkdir(parents=True, exist_ok=True)
        aside = folder / f".{role}.new"
        aside.unlink(missing_ok=True)
        aside.symlink_to(f"../releases/{check_release_id(release)}")
        aside.rename(folder / role)
        sync_folder(folder)


def _named(link: Path) -> str | None:
    try:
        name = link.readlink().name
    except OSError:
        return None
    return name if RELEASE_ID.fullmatch(name) else None


def sync_folder(folder: Path) -> None:
    """Make renames and new names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_tree(path: Path) -> None:
    """Remove a release's folder, although it is read-only. Its mark goes first, so that what a
    crash leaves is never taken for a whole release."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    path.chmod(0o755)
    (path / MANIFEST).unlink(missing_ok=True)
    for folder, _, _ in os.walk(path):
        Path(folder).chmod(0o755)
    shutil.rmtree(path)
