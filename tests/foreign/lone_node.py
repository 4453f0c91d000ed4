"""One node without a fleet: a registry in a folder, a supervisor, the foreign app's releases."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from artifacts import node, release, trust
from artifacts.app import load_app
from artifacts.node_config import load_node
from artifacts.objects import open_objects
from artifacts.registry import Registry
from tests.contracts.http_load import get
from tests.contracts.process_apps import FOREIGN, App
from tests.contracts.process_engines import SupervisorEngine

WEB = App("web", FOREIGN, ())
NEVER_READY = ("never-ready", "not-ready")  # whoever waits for these waits in vain


class LoneNode:
    """`run` asks the node as Salt does; `publish` makes a release and puts it in the registry."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = base / "node"
        self.root.mkdir()
        self.registry = base / "registry"
        self.registry.mkdir()
        self.engine = SupervisorEngine(self.root, WEB)
        self.layout = self.engine.layout
        self.key = base / "signing.key"
        self.trust = {"k1": trust.new_signing_key(self.key)}
        self.config = self.root / "etc/evctl/node.yaml"
        self.configure()

    def configure(self, **changed: Any) -> None:
        settings = {
            "id": self.engine.node,
            "role": "web",
            "root": str(self.root),
            "run": str(self.engine.run),
            "registry": f"file://{self.registry}",
            "trust": self.trust,
            "services": "supervisor",
            "keep": 1,
            "lock_wait_s": 0.5,
        }
        kept = {key: value for key, value in (settings | changed).items() if value != "absent"}
        self.config.write_text(yaml.safe_dump(kept))

    def publish(self, version: str, fault: str = "none") -> str:
        """A release of the foreign app with this fault in it; its id."""
        tree = self.base / f"tree-{version}"
        shutil.copytree(FOREIGN, tree, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        (tree / "web/fault.txt").write_text(fault)
        if fault in NEVER_READY:
            description = (tree / "evctl.yaml").read_text()
            (tree / "evctl.yaml").write_text(description.replace("ready_s: 20", "ready_s: 6"))
        return self.publish_tree(tree, version)

    def publish_tree(self, tree: Path, version: str) -> str:
        description = (tree / "evctl.yaml").read_text().replace("1.0.0", version)
        (tree / "evctl.yaml").write_text(description)
        commit(tree)
        tarball, manifest = release.build(
            load_app(tree / "evctl.yaml"),
            self.base / "out",
            wheels_cache=self.base / "wheels",
            progress=lambda line: None,
        )
        registry = Registry(open_objects(f"file://{self.registry}"), self.trust)
        registry.publish(tarball, manifest, self.key)
        return manifest.release

    @contextlib.contextmanager
    def registry_gone(self) -> Iterator[None]:
        away = self.registry.with_name("away")
        self.registry.rename(away)
        yield
        away.rename(self.registry)

    def run(self, function: str, **kwargs: Any) -> dict[str, Any]:
        return node.run(function, str(self.config), **kwargs)

    def done(self, function: str, **kwargs: Any) -> Any:
        """The result of what must work."""
        answer = self.run(function, **kwargs)
        assert answer["ok"], answer
        return answer["result"]

    def error(self, function: str, **kwargs: Any) -> dict[str, str]:
        """The error of what must fail. The answer is plain data, as Salt needs it."""
        answer = self.run(function, **kwargs)
        assert not answer["ok"], answer
        error: dict[str, str] = answer["error"]
        return error

    def node(self) -> node.Node:
        return node.Node(load_node(self.config))

    def answers(self) -> str:
        """The release that answers on the node's shared socket."""
        _, body = asyncio.run(get(*self.engine.address, "/hello"))
        return body.decode().split()[-1]

    def running(self) -> list[str]:
        return sorted(found["release"] for found in self.done("status")["generations"])


def commit(tree: Path) -> None:
    """Everything in the tree, as the one commit of a repository of its own."""
    git = ("git", "-c", "user.name=test", "-c", "user.email=test@localhost")
    for command in (("init", "-q"), ("add", "."), ("commit", "-q", "-m", "all of it")):
        subprocess.run((*git, *command), cwd=tree, check=True, timeout=30, capture_output=True)


@contextlib.contextmanager
def lone_node() -> Iterator[LoneNode]:
    base = Path(tempfile.mkdtemp(prefix="evln-"))
    lone = LoneNode(base)
    try:
        yield lone
    finally:
        lone.engine.down()
        shutil.rmtree(base, ignore_errors=True)
