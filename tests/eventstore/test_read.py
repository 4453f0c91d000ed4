"""Faults planted with the real engines are seen by a reader: what a checker of runs relies on."""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eventstore import engines, packing
from eventstore.event import EventId, new_pack_id
from eventstore.ports import Packed
from eventstore.processing.enrich import Rules, enrich
from eventstore.query.read import Reader, open_reader
from eventstore.settings import Settings

TAGS = {"endpoint": "/v1/events", "source": "web"}
EVENTS = [b'{"id":"a"}', b'{"id":"b"}']
# A collector whose queue answers before anything is on the disk, and forgets.
FORGETFUL = """
import sys
from eventstore import engines, roles
class Forgetful(engines.EmbeddedQueue):
    def put(self, packs):
        pass
engines.EmbeddedQueue = Forgetful
sys.exit(roles.main(["collector"]))
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=f"file://{tmp_path}/data")


@pytest.fixture
def reader(settings: Settings) -> Iterator[Reader]:
    reader = open_reader(settings.data)
    yield reader
    reader.close()


def packed(pack_id: Any) -> bytes:
    now_ms = time.time_ns() // 1_000_000
    sender = packing.Share(len(EVENTS), now_ms)
    return packing.pack(pack_id, TAGS, [sender], [b"\n".join(EVENTS)], None)


def test_a_pack_under_another_key_is_visible_twice(settings: Settings, reader: Reader):
    store = engines.open_store(settings)
    rules = Rules.of(settings)
    for _ in range(2):
        pack_id = new_pack_id()
        enriched = enrich(pack_id, packed(pack_id), rules)
        store.put([replace(enriched, keys=np.zeros_like(enriched.keys))])
    assert Counter(event.body for event in reader.events()) == dict.fromkeys(EVENTS, 2)
    store.close()


def test_a_dropped_pack_is_missing(settings: Settings, reader: Reader):
    queue = engines.open_queue(settings)
    pack_id = new_pack_id()
    queue.put([Packed(pack_id, packed(pack_id), TAGS["endpoint"], len(EVENTS))])
    assert not reader.drained()
    queue.ack(queue.claim(1, 60))
    assert reader.drained()
    assert list(reader.events()) == []
    assert reader.event(EventId(pack_id, 0)) is None
    assert reader.enrichment(EventId(pack_id, 0)) == {}
    queue.close()


def test_an_acknowledgement_before_the_commit_is_missing(
    settings: Settings, reader: Reader, tmp_path: Path, post: Callable[..., Any]
):
    file = tmp_path / "s.yaml"
    file.write_text(f"data: {settings.data}\nlisten_port: 0\n")
    environment = {**os.environ, "EV_SETTINGS": str(file)}
    command = [sys.executable, "-c", FORGETFUL]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        port = int(process.stderr.readline().rsplit(":", 1)[1])
        status, receipt = post(port, EVENTS[0])
        process.terminate()
        assert process.wait(30) == 0
    assert (status, receipt["accepted"]) == (200, 1)
    assert reader.drained()
    assert list(reader.events()) == []
