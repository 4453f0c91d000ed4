"""A fleet of files in a temporary folder, an app in a git repository, and the real `evctl`."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

import cli.asked
from artifacts.trust import new_signing_key
from cli.main import evctl as command_line
from cli.main import run
from tests.rollout.fake_fleet import FakeFleet

REPOSITORY = Path(__file__).resolve().parents[2]
EVCTL = Path(sys.executable).with_name("evctl")
RUN_S = 60

# Even as root, a user who may read only what its modes allow.
_CAPABILITIES = "-dac_override,-dac_read_search"
WITHOUT_RIGHTS = (
    ("setpriv", f"--bounding-set={_CAPABILITIES}", f"--inh-caps={_CAPABILITIES}")
    if os.geteuid() == 0
    else ()
)

NODES = {"web-01": {"role": "web", "az": "a"}, "web-02": {"role": "web"}, "db-01": {"role": "db"}}


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


def run_evctl(
    *arguments: str | Path,
    cwd: Path,
    env: dict[str, str] | None = None,
    stdout: Any = None,
    before: tuple[str, ...] = (),
) -> Ran:
    """The real command, without a terminal and without this user's own settings."""
    clean = {
        "PATH": os.environ["PATH"],
        "HOME": str(cwd),
        "LANG": "C.UTF-8",
        "TMPDIR": str(cwd),
    }
    ended = subprocess.run(
        [*before, EVCTL, *arguments],
        cwd=cwd,
        env={**clean, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=stdout or subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    return Ran(ended.returncode, ended.stdout or "", ended.stderr)


def every_command(
    command: click.Command = command_line, path: tuple[str, ...] = ("evctl",)
) -> Iterator[tuple[str, click.Command]]:
    """Each command with its whole name: `evctl`, `evctl lab`, `evctl lab up`, …"""
    yield " ".join(path), command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from every_command(below, (*path, name))


@dataclass(frozen=True)
class World:
    """root/fleet.yaml, root/registry, root/documents, root/nodes.yaml, and root/app."""

    root: Path

    @property
    def fleet(self) -> Path:
        return self.root / "fleet.yaml"

    @property
    def app(self) -> Path:
        return self.root / "app"

    @property
    def settings(self) -> dict[str, Any]:
        return dict(yaml.safe_load(self.fleet.read_text()))

    def set(self, **changes: Any) -> None:
        """Change keys of fleet.yaml; None takes one out."""
        merged = {**self.settings, **changes}
        kept = {key: value for key, value in merged.items() if value is not None}
        self.fleet.write_text(yaml.safe_dump(kept))

    def evctl(self, *arguments: str | Path) -> Ran:
        return run_evctl("--fleet", self.fleet, *arguments, cwd=self.app)

    def release(self) -> str:
        ran = self.evctl("-q", "release", "--json")
        assert ran.code == 0, ran.err
        return str(ran.json()["release"])


@pytest.fixture
def world(tmp_path: Path) -> World:
    return _world(tmp_path)


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, str]:
    """A world with a release of its app, made once: making one takes a second."""
    made = _world(tmp_path_factory.mktemp("released"))
    return made, made.release()


def _world(tmp_path: Path) -> World:
    made = World(tmp_path)
    public = new_signing_key(tmp_path / "signing.key")
    for folder in ("registry", "documents", "master"):
        (tmp_path / folder).mkdir()
    (tmp_path / "nodes.yaml").write_text(yaml.safe_dump(NODES))
    made.fleet.write_text(
        yaml.safe_dump(
            {
                "name": "test",
                "salt_master_config": "master",
                "registry": f"file://{tmp_path}/registry",
                "documents": f"file://{tmp_path}/documents",
                "nodes": "nodes.yaml",
                "trust": {"k1": public},
                "signing_key": "signing.key",
                "cache": "cache",
            }
        )
    )
    shutil.copytree(
        REPOSITORY / "tests/foreign", made.app, ignore=shutil.ignore_patterns("__pycache__")
    )
    git(made.app, "init", "--quiet")
    commit(made.app, "an app")
    return made


def commit(folder: Path, why: str) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", why)


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, timeout=RUN_S)


@dataclass
class RanHere:
    """A command that ran in this process, over a fake fleet."""

    code: int
    out: str
    err: str

    def lines(self) -> list[dict]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def nodes(monkeypatch) -> FakeFleet:
    fake = FakeFleet.of(NODES)
    monkeypatch.setattr(cli.asked, "SaltClient", lambda *_: fake)
    return fake


@pytest.fixture
def evctl(world, nodes, capsys):
    def call(*arguments: str) -> RanHere:
        capsys.readouterr()
        code = run(["--fleet", str(world.fleet), *arguments])
        shown = capsys.readouterr()
        return RanHere(code, shown.out, shown.err)

    return call


@pytest.fixture
def new(world: World, released: tuple[World, str]) -> str:
    """The release of the world's app, published in its registry."""
    source, release = released
    shutil.copytree(source.root / "registry", world.root / "registry", dirs_exist_ok=True)
    shutil.copy(source.root / "signing.key", world.root)
    world.set(trust=source.settings["trust"])
    return release


@pytest.fixture
def terminal(monkeypatch) -> Iterator[Callable[[str], None]]:
    """Standard input is a terminal, on which this is typed."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield lambda typed: os.write(ours, typed.encode())
    os.close(ours)


def roll_out(evctl: Callable[..., RanHere], new: str, *more: str) -> RanHere:
    """All of the world's web nodes, without a bake."""
    return evctl("rollout", "--range", "role:web", "--to", new, "--bake", "0", *more)
