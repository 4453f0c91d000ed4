"""A lab on local servers that speak AWS's protocols: started with it, used by its roles, gone with
it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cli.lab import operate, traces
from cli.lab.engines.start import VARIABLES
from cli.lab.errors import LabNotPossible, LabUsageError
from eventstore import engines, settings
from eventstore.event import new_pack_id
from eventstore.ports import Packed

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(400)]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    root = tmp_path / "lab"
    yield root
    operate.down(root, "test")


def test_a_lab_has_its_event_store_on_local_servers_and_takes_them_away(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    said: list[str] = []
    try:
        lab, _ = operate.up(place, "test", "process", (), said.append, wanted_engine="aws")
    except LabNotPossible as error:
        pytest.skip(f"not run: {error}")
    assert len(traces.of_part(lab, "engines")) == 3
    assert operate.status(lab)["engine"] == "aws"

    there = settings.load(lab.store_settings)
    queue = engines.open_queue(there)
    queue.put([Packed(new_pack_id(), b"body", "/e", 1)])
    assert queue.depth().packs == 1
    queue.close()
    engines.open_store(there).close()
    assert not list(engines.open_aggregates(there).windows())

    pillar = yaml.safe_load((place / "pillar/fleet.sls").read_text())["evctl"]
    assert pillar["environment"] == VARIABLES
    for role in ("collector", "processor", "postprocessor"):
        told = settings.from_dict(pillar["settings"][role])
        assert told == dataclasses.replace(there, data=told.data)

    # The same again changes nothing; with another engine it would be another lab.
    again, _ = operate.up(place, "test", "auto", (), said.append)
    assert again == lab
    with pytest.raises(LabUsageError, match="with the engine aws"):
        operate.up(place, "test", "auto", (), said.append, wanted_engine="embedded")

    assert operate.down(place, "test")
    assert traces.processes(lab) == []
    assert not lab.engines.exists()
