"""What a release packages: the tracked files of a repository that the app includes."""

from __future__ import annotations

import fnmatch
import os
import stat
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from artifacts.app import FILE, App
from artifacts.errors import EvctlError
from artifacts.tarball import NAME_BYTES_MAX

GIT_S = 60.0
STATUS = ("status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all")


class DirtyTree(EvctlError):
    code = "E2106"
    exit_code = 2
    explanation = (
        "Files that the release would package differ from the commit. A release is made from a "
        "commit, so that it can be made again."
    )


class NotARepository(EvctlError):
    code = "E2107"
    exit_code = 2
    explanation = (
        "A release is made from the tracked files of a git repository with at least one commit."
    )


class UnpackableFile(EvctlError):
    code = "E2108"
    exit_code = 2
    explanation = "A release holds regular files only: no links, no devices."


@dataclass(frozen=True)
class Commit:
    id: str
    at: str  # ISO 8601, UTC


def commit_of(app: App) -> Commit:
    commit, _, seconds = _git(app, "log", "-1", "--format=%H %ct").strip().partition(" ")
    at = datetime.fromtimestamp(int(seconds), UTC)
    return Commit(commit, at.strftime("%Y-%m-%dT%H:%M:%SZ"))


def refuse_dirty(app: App) -> None:
    """DirtyTree when an included file, evctl.yaml or the lock is changed, new, or gone since the
    commit."""
    listed = _git(app, *STATUS, ".")
    prefix = _git(app, "rev-parse", "--show-prefix").removesuffix("\n")
    names = (entry[3:].removeprefix(prefix) for entry in listed.split("\0") if entry)
    if dirty := sorted(_chosen(app, names) | _dirty_basis(app)):
        shown = ", ".join(map(_shown, dirty[:5])) + (", …" if len(dirty) > 5 else "")
        raise DirtyTree(
            f"{len(dirty)} files differ from the commit",
            why=shown,
            next_step="commit them, or release them as they are with --allow-dirty",
        )


def _dirty_basis(app: App) -> set[str]:
    """What decides a release without being packaged under app/: the roles, and the wheels."""
    basis = [FILE]
    if app.requirements:
        basis.append(os.path.relpath(app.requirements, app.root))
    return {
        name
        for name in basis
        if _git(app, *STATUS, "--", name) or not _git(app, "ls-files", "--", name)
    }


def files_of(app: App) -> dict[str, Path]:
    """Name in the release → file, sorted by name. UnpackableFile."""
    tracked = filter(None, _git(app, "ls-files", "-z", ".").split("\0"))
    # A name is UTF-8 whatever the locale is; a path is what the locale makes of the same bytes.
    files = {
        name: app.root / os.fsdecode(name.encode(errors="surrogateescape"))
        for name in sorted(_chosen(app, tracked))
    }
    for name, path in files.items():
        if not path.is_symlink() and not path.exists():
            raise DirtyTree(
                f"{name} is tracked, and gone", next_step="restore it or commit its removal"
            )
        if why := _unpackable(name, path):
            raise UnpackableFile(
                f"{_shown(name)} is not a regular file of the app",
                why=why,
                next_step="replace it by a file, or name it under `exclude`",
            )
    if not files:
        raise UnpackableFile(
            "the release would be empty",
            why="no tracked file matches `include`",
            next_step="mend evctl.yaml",
        )
    return files


def _unpackable(name: str, path: Path) -> str:
    """Why not; empty if it can be packed."""
    if not stat.S_ISREG(path.lstat().st_mode):
        return "a release holds no links and no devices"
    if path.parent.resolve() != path.parent:
        return "its folder is a link"
    if _shown(name) != name:
        return "its name is not UTF-8"
    if len(f"app/{name}".encode()) > NAME_BYTES_MAX:
        return f"its name is too long: at most {NAME_BYTES_MAX} bytes"
    return ""


def _shown(name: str) -> str:
    return name.encode(errors="surrogateescape").decode(errors="replace")


def _chosen(app: App, names: Iterable[str]) -> set[str]:
    return {
        name for name in names if _matches(name, app.include) and not _matches(name, app.exclude)
    }


def _matches(name: str, patterns: Iterable[str]) -> bool:
    """`**` crosses folders, as `*` does: an app is chosen by prefixes and endings."""
    return any(fnmatch.fnmatchcase(name, pattern.replace("**", "*")) for pattern in patterns)


def _git(app: App, *arguments: str) -> str:
    command = ("git", "--literal-pathspecs", "-C", str(app.root), *arguments)
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",  # a name may be any bytes
            timeout=GIT_S,
            check=False,
        )
    except FileNotFoundError as error:
        raise NotARepository("git is not installed", next_step="apt-get install git") from error
    except subprocess.TimeoutExpired as error:
        raise NotARepository(
            f"git doesn't answer within {GIT_S:.0f} s", next_step="see what holds it up"
        ) from error
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["git failed"]
        raise NotARepository(
            f"{app.root} can't be released", why=said[0], next_step=_next_step(said)
        )
    return done.stdout


def _next_step(said: list[str]) -> str:
    """By what git said; the command that makes another user's repository trusted is git's own."""
    for line in map(str.strip, said):
        if "safe.directory" in line:
            return f"{line}, or release as the owner of its files"
        if "outside repository" in line:
            return "move it into the repository, and mend evctl.yaml"
    return "git init, add and commit"
