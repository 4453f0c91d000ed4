"""The checker finds each planted fault, with real engines, and passes an honest run."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demo.check import Check, NotDrainedError, check, main, wait_until_drained
from demo.ledger import read_requests
from eventstore import engines, packing
from eventstore.event import new_pack_id
from eventstore.ports import Enriched, Lease
from eventstore.postprocessing.postprocessor import Postprocessor
from eventstore.processing.processor import Processor
from eventstore.settings import Settings
from eventstore.tools import probe

HASTY = Path(__file__).with_name("hasty_collector.py")


@dataclasses.dataclass(frozen=True)
class Taken:
    """What a collector took in: packs wait in the queue, and the ledger says what was acked."""

    ledger: Path
    data: Path

    @property
    def settings(self) -> Settings:
        return Settings(data=f"file://{self.data}")

    @property
    def file(self) -> Path:
        """The same as the checker's program takes it."""
        path = self.data.with_suffix(".settings")
        path.write_text(f"data: {self.settings.data}\n")
        return path


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, collector: Any, load: Any) -> Taken:
    folder = tmp_path_factory.mktemp("original")
    taken = Taken(folder / "ledger", folder / "data")
    with collector(taken.data) as serving:
        assert load(serving.url, taken.ledger).returncode == 0
        assert serving.stop() == 0
    return taken


@pytest.fixture
def taken(original: Taken, tmp_path: Path) -> Taken:
    """A copy to spoil."""
    copy = Taken(tmp_path / "ledger", tmp_path / "data")
    shutil.copytree(original.ledger, copy.ledger)
    shutil.copytree(original.data, copy.data)
    return copy


def process(taken: Taken, kind: Callable[..., Processor] = Processor) -> None:
    """Stores and aggregates everything that waits, with one kind of processor."""
    settings = taken.settings
    queue, store = engines.open_queue(settings), engines.open_store(settings)
    processor = kind(queue, store, settings)
    for _ in range(10_000):
        if not processor.step():
            break
    Postprocessor(store, engines.open_aggregates(settings), settings).step()
    queue.close()
    store.close()


def faults(found: Check) -> dict[str, int]:
    counters = ("lost", "duplicated", "phantom", "mismatches")
    return {name: getattr(found, name) for name in counters if getattr(found, name)}


def test_an_honest_run_passes(taken: Taken, capsys: pytest.CaptureFixture[str]) -> None:
    process(taken)
    found = check(taken.ledger, taken.settings)
    acked = sum(one.count for one in read_requests(taken.ledger) if one.acked)
    assert faults(found) == {}
    assert found.good
    assert found.acked == found.stored == acked > 400
    assert found.windows > 0
    assert found.kept.packs > 0
    assert found.kept.in_segments == found.kept.with_dictionary == 0
    assert main(["--ledger", str(taken.ledger), "--settings", str(taken.file), "--wait", "5"]) == 0
    assert json.loads(capsys.readouterr().out)["good"] is True


def test_a_redelivered_pack_is_no_duplicate(taken: Taken) -> None:
    class Redelivered(Processor):
        def _put(self, ready: Sequence[tuple[Lease, Enriched]]) -> None:
            self._store.put([one for _, one in ready])
            super()._put(ready)

    process(taken, Redelivered)
    assert check(taken.ledger, taken.settings).good


def test_a_dropped_pack_is_a_loss(taken: Taken, capsys: pytest.CaptureFixture[str]) -> None:
    dropped: list[Enriched] = []

    class Dropping(Processor):
        def _put(self, ready: Sequence[tuple[Lease, Enriched]]) -> None:
            if not dropped and ready:
                lease, enriched = ready[0]
                dropped.append(enriched)
                self._queue.ack([lease])
                ready = ready[1:]
            super()._put(ready)

    process(taken, Dropping)
    found = check(taken.ledger, taken.settings)
    assert faults(found) == {"lost": len(dropped[0].keys)}
    assert found.stored == found.acked - found.lost
    assert main(["--ledger", str(taken.ledger), "--settings", str(taken.file)]) == 1
    assert json.loads(capsys.readouterr().out)["examples"]["lost"]


def test_a_pack_that_vanishes_after_it_was_counted_shows_in_the_aggregates_too(
    taken: Taken,
) -> None:
    process(taken)
    with sqlite3.connect(taken.data / "store.sqlite") as database:
        database.execute("DELETE FROM packs WHERE seq = (SELECT max(seq) FROM packs)")
    found = check(taken.ledger, taken.settings)
    assert faults(found).keys() == {"lost", "mismatches"}


def test_a_pack_stored_twice_under_another_key_is_duplicated(taken: Taken) -> None:
    twice: list[Enriched] = []

    class Forgetful(Processor):
        """Another key for the pack, and the clients' own ids forgotten."""

        def _put(self, ready: Sequence[tuple[Lease, Enriched]]) -> None:
            if not twice and ready:
                twice.append(
                    dataclasses.replace(
                        ready[0][1],
                        pack_id=new_pack_id(),
                        keys=np.zeros_like(ready[0][1].keys),
                    )
                )
                self._store.put(twice)
            super()._put(ready)

    process(taken, Forgetful)
    found = check(taken.ledger, taken.settings)
    assert faults(found) == {"duplicated": len(twice[0].keys)}


def test_the_clients_own_ids_hide_a_pack_stored_twice(taken: Taken) -> None:
    class Twice(Processor):
        def _put(self, ready: Sequence[tuple[Lease, Enriched]]) -> None:
            super()._put(ready)
            self._store.put(
                [dataclasses.replace(one, pack_id=new_pack_id()) for _, one in ready[:1]]
            )

    process(taken, Twice)
    assert check(taken.ledger, taken.settings).good


def test_an_event_that_nobody_sent_is_a_phantom(
    taken: Taken, collector: Any, load: Any, tmp_path: Path
) -> None:
    with collector(taken.data) as serving:  # another client's: this ledger knows nothing of it
        assert load(serving.url, tmp_path / "other", requests=5).returncode == 0
        serving.stop()
    process(taken)
    others = sum(one.count for one in read_requests(tmp_path / "other"))
    assert faults(check(taken.ledger, taken.settings)) == {"phantom": others}


def test_the_events_of_a_rollouts_probe_are_its_own(taken: Taken, collector: Any) -> None:
    with collector(taken.data) as serving:
        receipts = probe._send([f"{serving.url}/v1/events"], 5, time.monotonic() + 30)
        serving.stop()
    assert len(receipts) == 5
    process(taken)
    assert faults(check(taken.ledger, taken.settings)) == {}


def test_an_event_whose_bytes_changed_is_lost_and_what_is_there_a_phantom(taken: Taken) -> None:
    changed: list[int] = []

    class Careless(Processor):
        def _enriched(self, lease: Lease, following: Sequence[Lease]) -> Enriched | None:
            enriched = super()._enriched(lease, following)
            if changed or enriched is None:
                return enriched
            pack = packing.unpack(lease.body)
            bodies = [pack.events[0].replace(b'"page":"/', b'"page":"//'), *pack.events[1:]]
            changed.append(1)
            body = packing.pack(pack.id, pack.tags, pack.shares, [b"\n".join(bodies)], None)
            return dataclasses.replace(enriched, body=body)

    process(taken, Careless)
    assert faults(check(taken.ledger, taken.settings)) == {"lost": 1, "phantom": 1}


def test_wrong_aggregates_are_mismatches(taken: Taken) -> None:
    process(taken)
    with sqlite3.connect(taken.data / "store.sqlite") as database:
        database.execute("DELETE FROM partials WHERE pack_id = (SELECT max(id) FROM packs)")
        database.execute("UPDATE windows SET version = version + 1")
    settings = taken.settings
    Postprocessor(engines.open_store(settings), engines.open_aggregates(settings), settings).step()
    assert faults(check(taken.ledger, taken.settings)).keys() == {"mismatches"}


@pytest.mark.parametrize("honest", [True, False])
def test_an_ack_before_the_commit_is_a_loss_once_the_collector_is_killed(
    tmp_path: Path, collector: Any, program: Any, load: Any, honest: bool
) -> None:
    taken = Taken(tmp_path / "ledger", tmp_path / "data")
    starting = collector(taken.data) if honest else program(HASTY, taken.data)
    with starting as serving:
        assert load(serving.url, taken.ledger, requests=100).returncode == 0
        serving.kill()
    process(taken)
    found = check(taken.ledger, taken.settings)
    assert found.acked > 100
    if honest:
        assert faults(found) == {}
    else:
        assert faults(found).keys() == {"lost"}


def test_what_still_waits_is_said(taken: Taken) -> None:
    with pytest.raises(NotDrainedError, match=r"[1-9]\d* packs wait"):
        wait_until_drained(taken.settings, 0.1)
    process(taken)
    assert wait_until_drained(taken.settings, 5) < 5


def test_a_store_that_cannot_be_read_is_no_pass(taken: Taken) -> None:
    process(taken)
    with sqlite3.connect(taken.data / "store.sqlite") as database:
        database.execute("UPDATE packs SET body = x'00'")
    done = subprocess.run(
        [sys.executable, "-m", "demo.check", "--ledger", taken.ledger, "--settings", taken.file],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 7
    assert "cannot check" in done.stderr
    assert "Traceback" not in done.stderr
