"""Small apps in git repositories of their own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from artifacts.app import App, load_app

EVCTL = """\
app: shop
version: 1.0.0
python: "3.11"
include: ["shop/**", "evctl.yaml"]
exclude: ["**.md"]
roles:
  web: {command: [python, -m, shop], listen: 80, ready_s: 5, drain_s: 5}
"""
FILES = {
    "evctl.yaml": EVCTL,
    "shop/__init__.py": "",
    "shop/__main__.py": "print('open')\n",
    "shop/data/prices.csv": "tea,3\n",
    "shop/readme.md": "not packaged\n",
    "other/notes.txt": "not packaged\n",
}
PACKAGED = ["evctl.yaml", "shop/__init__.py", "shop/__main__.py", "shop/data/prices.csv"]
# Nothing of who runs the tests: no settings, no identity, no repository around.
GIT_ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.org",
    "GIT_AUTHOR_DATE": "2024-05-06T07:08:09+0200",
    "GIT_COMMITTER_DATE": "2024-05-06T07:08:09+0200",
}


def git(folder: Path, *arguments: str, umask: int = -1) -> str:
    done = subprocess.run(
        ("git", "-C", str(folder), *arguments),
        env=GIT_ENVIRONMENT,
        umask=umask,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def write(folder: Path, files: dict[str, str]) -> None:
    for name, body in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body)


def commit(folder: Path) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "as it is")


def shop(folder: Path, files: dict[str, str] | None = None, below: str = ".") -> App:
    """A repository at `folder` with one commit; its app is in the folder `below`."""
    folder.mkdir(parents=True)
    git(folder, "init", "-q")
    write(folder / below, FILES if files is None else files)
    commit(folder)
    return load_app(folder / below / "evctl.yaml")
