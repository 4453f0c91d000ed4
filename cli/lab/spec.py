"""What a lab consists of, and where it keeps it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from cli.lab.errors import LabUsageError

DriverName = Literal["nspawn", "process"]
EngineName = Literal["embedded", "aws"]

# The checkout that this lab rehearses: its states, its locks, and its build folder for caches.
REPOSITORY = Path(__file__).resolve().parents[2]

DEFAULT_NODES = (
    "collector-01",
    "collector-02",
    "processor-01",
    "processor-02",
    "postprocessor-01",
)
NODES_MAX = 60
_NAME = re.compile(r"[a-z][a-z0-9-]{0,40}")

# A node's identity on Debian: fixed, since the nodes of a lab share the event store's files.
SERVICE_USER = "evctl"
SERVICE_UID = 901


@dataclass(frozen=True)
class NodeSpec:
    """One node: its id, its role by the master's map, its address in the lab."""

    id: str
    role: str
    address: str


@dataclass(frozen=True)
class Lab:
    """A lab's shape. Everything it writes lies below `root`, except sockets in `run`.
    engine: what its event store runs on."""

    name: str
    root: Path
    driver: DriverName
    nodes: tuple[NodeSpec, ...] = ()
    engine: EngineName = "embedded"

    @property
    def tag(self) -> str:
        """Tells this lab from every other on the machine, wherever that one lies."""
        return hashlib.sha256(str(self.root).encode()).hexdigest()[:8]

    @property
    def network(self) -> str:
        """The namespace of bridge, master and load client."""
        return f"evlab-{self.tag}"

    def node_network(self, node_id: str) -> str:
        return f"{self.network}-{node_id}"

    def _subnet(self) -> str:
        if self.driver == "nspawn":
            return "10.77.0"
        return f"127.77.{int(self.tag[:2], 16) % 254 + 1}"

    @property
    def master_address(self) -> str:
        return f"{self._subnet()}.1"

    @property
    def run(self) -> Path:
        """Sockets: a short path, since a unix socket's may not exceed 107 bytes."""
        return Path(f"/tmp/evlab-{self.tag}")  # noqa: S108 - made 0700, by tag and owner, in traces

    @property
    def fleet_file(self) -> Path:
        return self.root / "fleet.yaml"

    @property
    def nodes_file(self) -> Path:
        return self.root / "nodes.yaml"

    @property
    def master_root(self) -> Path:
        return self.root / "master"

    @property
    def registry(self) -> Path:
        return self.root / "srv" / "registry"

    @property
    def documents(self) -> Path:
        return self.root / "documents"

    @property
    def data(self) -> Path:
        """The embedded engines' files, which the lab's nodes share."""
        return self.root / "data"

    @property
    def followed(self) -> Path:
        """Where the autoscaler reads which nodes there are."""
        return self.data / "nodes.yaml"

    @property
    def engines(self) -> Path:
        """The files of the local servers, in memory: a disk that is synced for each write of all
        five nodes would be what a lab waits for."""
        return Path(f"/dev/shm/evlab-{self.tag}")  # noqa: S108 - by tag, made in engines.start

    @property
    def store_settings(self) -> Path:
        """Where the event store is, for those who read it from this machine."""
        return self.root / "eventstore.yaml"

    def node_root(self, node_id: str) -> Path:
        return self.root / "nodes" / node_id

    def node(self, node_id: str) -> NodeSpec:
        for node in self.nodes:
            if node.id == node_id:
                return node
        names = ", ".join(node.id for node in self.nodes) or "none"
        raise LabUsageError(
            f"lab {self.name} has no node {node_id}",
            why=f"its nodes: {names}",
            next_step=f"evctl lab up --name {self.name} --nodes {node_id}",
        )

    def with_nodes(self, wanted: tuple[str, ...]) -> Lab:
        """This lab with the wanted nodes (`id` or `id=role`) added to those it has."""
        nodes = {node.id: node for node in self.nodes}
        for item in wanted:
            node_id, _, role = item.partition("=")
            role = role or re.sub(r"-\d+$", "", node_id)
            if not (_NAME.fullmatch(node_id) and _NAME.fullmatch(role)):
                raise LabUsageError(
                    f"{item!r} can't be a node",
                    why="id and role are each a lower-case letter, then letters, digits, dashes",
                    next_step="evctl lab up --nodes collector-01,web-01=web",
                )
            if node_id not in nodes:
                nodes[node_id] = NodeSpec(node_id, role, self._free_address(nodes.values()))
        if len(nodes) > NODES_MAX:
            raise LabUsageError(
                f"a lab of {len(nodes)} nodes is too large",
                why=f"at most {NODES_MAX} fit on one machine",
                next_step="name fewer nodes",
            )
        return replace(self, nodes=tuple(nodes.values()))

    def _free_address(self, nodes: Collection[NodeSpec]) -> str:
        taken = {node.address for node in nodes}
        return next(
            address
            for number in range(11, 12 + len(nodes))
            if (address := f"{self._subnet()}.{number}") not in taken
        )

    def without(self, node_id: str) -> Lab:
        return replace(self, nodes=tuple(node for node in self.nodes if node.id != node_id))

    def save(self) -> None:
        record = asdict(self) | {"root": str(self.root)}
        self.root.mkdir(parents=True, exist_ok=True)
        aside = self.root / "lab.json.new"
        aside.write_text(json.dumps(record, indent=1))
        aside.rename(self.root / "lab.json")


def load_lab(root: Path) -> Lab | None:
    """The lab that lives at `root`; None when there is none."""
    path = root / "lab.json"
    if not path.exists():
        return None
    record = json.loads(path.read_text())
    nodes = tuple(NodeSpec(**node) for node in record["nodes"])
    return Lab(
        name=record["name"],
        root=root,
        driver=record["driver"],
        nodes=nodes,
        engine=record.get("engine", "embedded"),  # one from before there was a choice
    )
