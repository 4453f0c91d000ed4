"""The real driver and real documents, with faults, deaths and operators from a seed.

`simulation.py` has the decisions by the hundred thousand; this shows that the driver keeps to the
way that is simulated there.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from artifacts.objects import open_objects
from cli.rollout import control
from cli.rollout import drive as driving
from cli.rollout.document import FINAL
from cli.rollout.documents import Documents
from cli.rollout.drive import drive, start
from cli.rollout.errors import WrongState
from cli.salt_client import SILENT
from tests.rollout.documents_of import NEW, document_of
from tests.rollout.fake_fleet import DIED, FakeFleet

ROLES = {"web-1": "web", "web-2": "web", "web-3": "web", "db-1": "db"}
LEASE_S = 61.0
LIVES_MAX = 40


class _Killed(BaseException):
    """As by kill -9: nothing is written any more."""


class World:
    def __init__(self, seed: int, documents: Documents) -> None:
        self.random = Random(seed)
        self.documents = documents
        self.now = 1_000_000.0
        self.fleet = FakeFleet.of(ROLES, before_each=self._before_each)
        self.wild = True

    def _before_each(self, node: str, function: str, _release: str | None) -> None:
        luck = self.random.random() if self.wild else 1.0
        self.fleet.fails = {}
        if luck < 0.08:
            raise _Killed
        if luck < 0.14:
            self.fleet.fails = {(node, function): DIED}
        elif luck < 0.2:
            self.fleet.fails = {(node, function): SILENT}
        elif luck < 0.28:
            self._tell(self.random.choice((control.pause, control.abort)))

    def _tell(self, to) -> None:
        kept = self.documents.load("R000001")
        try:
            self.documents.change(kept, lambda document: to(document, "ada"))
        except WrongState:
            return

    def run(self) -> None:
        start(
            self.documents,
            lambda id_: document_of(ROLES, rollout_id=id_, max_fail=1, max_unreachable=1),
            lambda: self.now,
        )
        for life in range(LIVES_MAX):
            self.wild = life < LIVES_MAX // 2
            kept = self.documents.load("R000001")
            if kept.document.state in FINAL:
                return
            if kept.document.state == "paused":
                self.documents.change(kept, control.resume)
            try:
                drive(self.documents, self.fleet, "R000001", lambda *_: None, lambda: self.now)
            except _Killed:
                self.now += LEASE_S
        raise AssertionError(f"no end: {self.documents.load('R000001').document.state}")


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_it_ends_and_every_node_serves_what_it_should(
    seed, tmp_path: Path, monkeypatch
):
    (tmp_path / "documents").mkdir()
    documents = Documents(open_objects(f"file://{tmp_path}/documents"))
    # Dead drivers neither say that they stop nor let go of their locks.
    monkeypatch.setattr(driving._Driver, "say", lambda *_, **__: None)
    leave = documents.leave
    monkeypatch.setattr(
        documents, "leave", lambda id_, me: leave(id_, me) if _is_paused(documents) else None
    )
    world = World(seed, documents)
    world.run()
    document = documents.load("R000001").document
    assert not documents.holders(world.now), "its nodes are free"
    wanted = documents.desired().nodes
    for node, record in document.nodes.items():
        if record.state == "healthy":
            assert world.fleet.serving[node] == wanted[node] == NEW
        elif record.state in ("reverted", "failed"):
            assert world.fleet.serving[node] == wanted[node] == record.before
        elif record.state in ("planned", "prefetched"):
            assert world.fleet.serving[node] == record.before
            assert node not in wanted or wanted[node] == record.before


def _is_paused(documents: Documents) -> bool:
    return documents.load("R000001").document.state == "paused"
