"""What a node can be asked to do. The order of a release's life here:

    prefetch (install.py) → activate (swap.py) ⇄ rollback → prune (prune.py)

`Node` is for Python; `run` is what Salt calls: it takes and answers plain data, and never raises
for what can go wrong on a node.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from artifacts import install, last_word, prune
from artifacts.disk import NO_ROOM, disk_full
from artifacts.drift import changed_files
from artifacts.errors import EvctlError
from artifacts.examine import toolkit_digest
from artifacts.health import Answer, ask
from artifacts.layout import Layout, check_release_id, remove_tree
from artifacts.node_config import NodeConfig, load_node
from artifacts.node_errors import (
    NodeFileError,
    NodeHasNoRole,
    NothingToStandOn,
    UnknownFunction,
)
from artifacts.node_lock import node_lock
from artifacts.objects import open_objects
from artifacts.registry import Registry
from artifacts.services import Generation, ServiceManager
from artifacts.services_supervisor import SupervisorServices
from artifacts.services_systemd import SystemdServices
from artifacts.swap import Swapper
from artifacts.tools import run_tool

__all__ = ["Node", "NodeConfig", "load_node", "run"]

ASK_S = 1.0

Wanted = Callable[[], str | None]
Pinned = Callable[[], Collection[str] | None]


class Node:
    """One node. Functions that change something hold the node's lock; `status` takes none."""

    def __init__(self, config: NodeConfig, services: ServiceManager | None = None) -> None:
        self.config = config
        self.layout = Layout(config.root, config.run)
        self.services = services or _services(config, self.layout)

    def status(self) -> dict[str, Any]:
        """{"node", "role", "release", "current", "last_good", "unpacked", "generations",
        "disk_free_bytes"}.

        `release` is what the serving generation's own /version answers, None when nothing serves:
        never what a link says. A generation: {"release", "state", "pid", "restarts", "ready",
        "says"}; `says` is its own answer.
        """
        role, layout = self.config.role, self.layout
        current = layout.current(role) if role else None
        generations = (
            [self._describe(role, found) for found in self._generations(role)] if role else []
        )
        return {
            "node": self.config.id,
            "role": role,
            "release": _serving(generations, current),
            "current": current,
            "last_good": layout.last_good(role) if role else None,
            "unpacked": layout.unpacked(),
            "generations": generations,
            "disk_free_bytes": shutil.disk_usage(_existing(layout.releases)).free,
        }

    def examine(self) -> dict[str, Any]:
        """What `status` says, and {"registry", "toolkit", "clock"}: why the registry can't be read
        from here, if it can't; the digest of the toolkit that runs here; Unix seconds by this
        node's clock."""
        registry = None
        try:
            open_objects(self.config.registry).list("channels/")
        except EvctlError as error:
            registry = error.to_json()
        toolkit = toolkit_digest(Path(__file__).parent)
        return {**self.status(), "registry": registry, "toolkit": toolkit, "clock": time.time()}

    def metrics(self) -> dict[str, str]:
        """Release → the page that its generation answers at /metrics; those that answer."""
        answers = self._answers("/metrics")
        return {release: one.body.decode("utf-8", "replace") for release, one in answers.items()}

    def desired(self) -> dict[str, dict[str, Any]]:
        """Release → what its generation answers at /desired: how many nodes there should be."""
        return {release: one.json() for release, one in self._answers("/desired").items()}

    def _answers(self, path: str) -> dict[str, Answer]:
        role = self.config.role
        answers = {
            generation.release: ask(
                self.services.admin_socket(role or "", generation.release), path, ASK_S
            )
            for generation in (self._generations(role) if role else ())
        }
        return {release: one for release, one in answers.items() if one.status == 200}

    def prefetch(self, release: str) -> dict[str, Any]:
        """Fetch, verify and install a release: see install.prefetch."""
        with self._changing("prefetch"):
            return self._prefetch(release)

    def activate(self, release: str) -> dict[str, Any]:
        """Swap to an unpacked release: see swap.Swapper.activate."""
        check_release_id(release)
        with self._changing("activate"):
            done = self._swapper().activate(release)
            self._obeyed(release)
            return done

    def converge(self, release: str | Wanted) -> dict[str, Any]:
        """Prefetch, if it isn't here (else no registry is touched), and activate.

        release: an id, or who to ask for it; asked with the lock held, so that an answer from
        before another change can't undo that change. None from it: nothing is wanted.
        The swap's answer, with the prefetch's as `prefetch`.
        """
        with self._changing("converge"):
            wanted = release if isinstance(release, str) else release()
            if wanted is None:
                return {"unchanged": True, "release": None}
            swapper = self._swapper()
            prefetched = self._prefetch(wanted)
            done = swapper.activate(wanted) | {"prefetch": prefetched}
            if isinstance(release, str):
                self._obeyed(release)
            return done

    def hear(self, at: float, release: str | None) -> None:
        """Keep what the master says this node should run. at: when, by its clock."""
        with suppress(OSError):  # a full disk keeps nobody from a swap
            last_word.hear(self.layout, last_word.Word(at, release))

    def rollback(self) -> dict[str, Any]:
        """Swap to the last good release, without the registry: see swap.Swapper.rollback."""
        with self._changing("rollback"):
            return self._swapper().rollback()

    def retire(self) -> dict[str, Any]:
        """Serve no more, for good: this node is about to go. See swap.Swapper.retire."""
        with self._changing("retire"):
            self._obeyed(None)  # else it would follow its last word while it waits for its end
            return self._swapper().retire()

    def prune(self, pinned: Collection[str] | Pinned = ()) -> list[str]:
        """Remove releases; kept are the current, the last good, running and pinned ones, and the
        newest `keep` of the others. Answers what was removed.

        pinned: ids, or who to ask for them; asked with the node's lock held, as in `converge`.
        None from it: it isn't known what is spoken for, so nothing is removed.
        """
        with self._changing("prune"):
            role = self.config.role
            spoken_for = pinned() if callable(pinned) else pinned
            if spoken_for is None:
                return []
            needed = set(spoken_for)
            if role:
                needed |= {generation.release for generation in self._generations(role)}
                linked = (self.layout.current(role), self.layout.last_good(role))
                needed |= {release for release in linked if release}
            return prune.prune(self.layout, needed, self.config.keep)

    def drift(self) -> dict[str, Any]:
        """{"release", "current", "files", "more"}: what serves; what the link names; what was
        changed of it since it was installed, in words; other releases that run beside it."""
        status = self.status()
        serving = status["release"]
        running = [generation["release"] for generation in status["generations"]]
        return {
            "release": serving,
            "current": status["current"],
            "files": self._changed_files(serving) if serving else [],
            "more": [release for release in running if release != serving],
        }

    def mend(self) -> dict[str, Any]:
        """Install what serves anew, if it was changed, and serve from it again: meanwhile from the
        last good release, so that nobody notices. NothingToStandOn when there is none.
        {"mended": release, or None when there was nothing to do}."""
        with self._changing("mend"):
            role, swapper = self._role(), self._swapper()
            release = self.layout.current(role)
            if release is None or not self._changed_files(release):
                return {"mended": None}
            meanwhile = self.layout.last_good(role)
            if meanwhile in (None, release) or not self.layout.is_unpacked(meanwhile):
                raise NothingToStandOn(
                    f"{release} can't be installed anew while {role} serves from it",
                    why="no other release has served here that could stand in for it",
                    next_step=f"evctl rollout --range {self.config.id} --to ANOTHER",
                )
            install.fetch(self.layout, self._registry(), release)  # before anything is taken away
            swapper.activate(meanwhile)
            remove_tree(self.layout.release(release))
            # Its packages are hard links into this: what was changed there was changed here.
            shutil.rmtree(self.layout.cache / "uv", ignore_errors=True)
            self._prefetch(release)
            swapper.activate(release)
            return {"mended": release}

    def _changed_files(self, release: str) -> list[str]:
        """By the manifest as it was signed, not as it lies in the release's folder."""
        folder, registry = self.layout.release(release), self._registry()
        return changed_files(folder, registry.manifest(release))

    def tool(self, name: str, arguments: Collection[str]) -> dict[str, Any]:
        """Run a tool that the current release offers for this role: see tools.run_tool. It takes no
        lock: a tool asks, and changes nothing of releases."""
        return run_tool(
            self.layout,
            self.config.id,
            self._role(),
            name,
            list(arguments),
            variables=self.config.environment,
        )

    def _obeyed(self, release: str | None) -> None:
        with suppress(OSError):
            last_word.hear_command(self.layout, release, time.time())

    @contextmanager
    def _changing(self, function: str) -> Iterator[None]:
        with node_lock(self.layout.lock, function, self.config.lock_wait_s):
            yield

    def _prefetch(self, release: str) -> dict[str, Any]:
        check_release_id(release)
        if self.layout.is_unpacked(release):
            return {"release": release, "seconds": 0.0, "fetched_bytes": 0, "already": True}
        return install.prefetch(self.layout, self._registry(), release, self.config.python)

    def _registry(self) -> Registry:
        objects, cache = open_objects(self.config.registry), self.layout.cache / "registry"
        return Registry(objects, self.config.trust, cache=cache)

    def _swapper(self) -> Swapper:
        return Swapper(self.config.id, self._role(), self.layout, self.services)

    def _role(self) -> str:
        if self.config.role is None:
            raise NodeHasNoRole(
                f"node {self.config.id} has no role yet",
                why="the master's map of nodes gives it none",
                next_step="assign one in nodes.yaml on the master, then: salt <node> state.apply",
            )
        return self.config.role

    def _generations(self, role: str) -> list[Generation]:
        return sorted(self.services.generations(role), key=lambda generation: generation.release)

    def _describe(self, role: str, generation: Generation) -> dict[str, Any]:
        socket = self.services.admin_socket(role, generation.release)
        version = ask(socket, "/version", ASK_S).json()
        return {
            "release": generation.release,
            "state": generation.state,
            "pid": generation.pid,
            "restarts": generation.restarts,
            "ready": ask(socket, "/readyz", ASK_S).status == 200,
            "says": version.get("release"),
        }


def run(function: str, config_path: str, **kwargs: Any) -> dict[str, Any]:
    """A function of this node, by name, for Salt.

    {"ok": True, "result": …, "status": …}, or {"ok": False, "error": EvctlError.to_json(),
    "status": …}; `status` is None when even that can't be told.
    """
    node: Node | None = None
    try:
        if function not in FUNCTIONS:
            raise UnknownFunction(
                f"a node has no function {function!r}",
                why=f"it has {', '.join(FUNCTIONS)}",
                next_step="bring the node's toolkit up to date: salt <node> state.apply",
            )
        node = Node(load_node(Path(config_path)))
        result = _call(node, function, kwargs)
    except (EvctlError, OSError) as error:
        told = error if isinstance(error, EvctlError) else _from_os_error(error, node)
        if node is not None and not told.where:
            told.where = node.config.id
        return {"ok": False, "error": told.to_json(), "status": _status(node)}
    return {
        "ok": True,
        "result": result,
        "status": result if function in ("status", "examine") else _status(node),
    }


FUNCTIONS = (
    "status",
    "examine",
    "metrics",
    "desired",
    "prefetch",
    "activate",
    "converge",
    "rollback",
    "retire",
    "prune",
    "tool",
    "hear",
    "drift",
    "mend",
)
_TAKES = {
    "prefetch": {"release"},
    "activate": {"release"},
    "converge": {"release"},
    "prune": {"pinned"},
    "tool": {"name", "arguments"},
    "hear": {"at", "release"},
}


def _call(node: Node, function: str, kwargs: dict[str, Any]) -> Any:
    takes = _TAKES.get(function, set())
    if set(kwargs) != takes:
        raise UnknownFunction(
            f"{function} takes {', '.join(takes) or 'nothing'}",
            why=f"it got {', '.join(kwargs) or 'nothing'}",
            next_step="bring the node's toolkit up to date: salt <node> state.apply",
        )
    return getattr(node, function)(**kwargs)


def _status(node: Node | None) -> dict[str, Any] | None:
    try:
        return node.status() if node else None
    except (EvctlError, OSError):
        return None


def _from_os_error(error: OSError, node: Node | None) -> EvctlError:
    if node is not None and error.errno in NO_ROOM:
        return disk_full(node.layout.root, "this change", str(error))
    return NodeFileError(
        "a file operation on the node failed",
        why=str(error),
        next_step="look at the node's disk and at the rights of its folders",
    )


def _services(config: NodeConfig, layout: Layout) -> ServiceManager:
    return SystemdServices(layout) if config.services == "systemd" else SupervisorServices(layout)


def _serving(generations: list[dict[str, Any]], current: str | None) -> str | None:
    """In the middle of a swap two may serve: then the one that the node stands by."""
    serving = [found for found in generations if found["state"] == "serving" and found["says"]]
    serving.sort(key=lambda found: (found["says"] != current, not found["ready"]))
    return serving[0]["says"] if serving else None


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path
