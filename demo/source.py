"""The demo's own copy of this repository: the tree that it releases, and the changes it makes."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

GIT_S = 60.0
ENTRY = "eventstore/__main__.py"
AWS_LOCK = "requirements/eventstore-aws.lock"
AUTHOR = ("-c", "user.name=demo", "-c", "user.email=demo@localhost", "-c", "commit.gpgsign=false")


class Source:
    """A git repository of its own with the tracked files of another, as they are right now."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def copy(cls, repository: Path, folder: Path) -> Source:
        """Starts anew: what was in `folder` is gone."""
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        listed = _run(("git", "-C", str(repository), "ls-files", "-z"))
        for name in filter(None, listed.split("\0")):
            origin, copy = repository / name, folder / name
            if origin.is_symlink() or not origin.exists():
                continue
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(origin, copy)
        source = cls(folder)
        source._git("init", "-q", "-b", "main")
        source._commit("The tree as it is")
        return source

    def run_on_aws(self) -> None:
        """What an app says that runs on SQS and DynamoDB: another lock, and no gate on what SQS
        doesn't tell (docs/aws)."""
        file = self.folder / "evctl.yaml"
        text = file.read_text().replace("requirements/eventstore.lock", AWS_LOCK)
        file.write_text(re.sub(r"(?m)^ +age: \{gauge: ev_queue_oldest_seconds.*\n", "", text))
        self._commit("Onto AWS's engines")

    def set_version(self, version: str) -> None:
        """A change worth a release: the app's version."""
        self._rewrite_version(version)
        self._commit(f"Version {version}")

    def set_program(self, version: str, program: str, path: str = ENTRY) -> None:
        """Another program in the place of one of the app's; of every role's own, unless said."""
        self._rewrite_version(version)
        (self.folder / path).write_text(program)
        self._commit(f"Version {version}, with another program")

    def add(self, path: str, text: str) -> None:
        """One more file in the tree."""
        (self.folder / path).write_text(text)
        self._commit(f"With {path}")

    def restore(self) -> None:
        """The program as it was at first; the version stays."""
        first = self._git("rev-list", "--max-parents=0", "HEAD").strip()
        self._git("checkout", "-q", first, "--", "eventstore")
        self._commit("The program as it was")

    def _rewrite_version(self, version: str) -> None:
        file = self.folder / "evctl.yaml"
        text = re.sub(r"(?m)^version: .*$", f"version: {version}", file.read_text())
        file.write_text(text)

    def _commit(self, message: str) -> None:
        self._git("add", "-A")
        self._git(*AUTHOR, "commit", "-q", "--allow-empty", "-m", message)

    def _git(self, *arguments: str) -> str:
        return _run(("git", "-C", str(self.folder), *arguments))


DIES_AT_START = '''\
"""Planted: a release whose process dies at its start."""

raise SystemExit("planted: this release dies at its start")
'''

NEVER_READY = '''\
"""Planted: a release that starts and never becomes ready."""

import time

print("planted: this release never becomes ready", flush=True)
time.sleep(3600)
'''


def _run(command: tuple[str, ...]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=GIT_S, check=False)
    if done.returncode:
        raise RuntimeError(f"`{' '.join(command[:5])} …` failed: {done.stderr.strip()}")
    return done.stdout
