"""What a rollout doesn't ask twice: docs/decisions/0026."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from artifacts.objects import open_objects
from cli.rollout.document import Document
from cli.rollout.documents import Documents
from cli.rollout.drive import drive, start
from tests.rollout.documents_of import document_of
from tests.rollout.fake_fleet import FakeFleet

ROLES = {"web-1": "web", "web-2": "web", "web-3": "web", "web-4": "web"}


@pytest.fixture
def documents(tmp_path: Path) -> Documents:
    return Documents(open_objects(tmp_path.as_uri()))


def _drive(documents: Documents, fleet: FakeFleet, document: Document) -> Document:
    rollout = start(documents, lambda _: document, time.time)
    return drive(documents, fleet, rollout.id, lambda *_: None)


def _asked(fleet: FakeFleet, wanted: str) -> set[str]:
    return {node for node, function, _ in fleet.asked if function == f"evrelease.{wanted}"}


def test_where_nothing_is_baked_an_answer_to_a_swap_proves_it(documents):
    fleet = FakeFleet.of(ROLES, proves=True, unready={"web-2": 2})
    assert _drive(documents, fleet, document_of(ROLES)).state == "converged"
    # web-2 wasn't ready yet when it answered: it was looked at until it was.
    assert _asked(fleet, "status") == {"web-2"}


def test_what_bakes_is_looked_at_whatever_it_answered(documents):
    fleet = FakeFleet.of(ROLES, proves=True)
    assert _drive(documents, fleet, document_of(ROLES, bake_s=0.01)).state == "converged"
    assert _asked(fleet, "status") == set(ROLES)


def test_who_has_the_release_is_not_asked_to_fetch_it(documents):
    fleet = FakeFleet.of(ROLES)
    planned = document_of(ROLES).with_node("web-1", state="prefetched")
    assert _drive(documents, fleet, planned).state == "converged"
    assert _asked(fleet, "prefetch") == set(ROLES) - {"web-1"}
