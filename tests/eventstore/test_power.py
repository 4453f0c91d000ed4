"""Power cuts under load: whatever was acknowledged before, is stored after; once.

`make powercut CYCLES=100` does the same for long. The checker is checked first: it must find what
is lost when acknowledgements come before their sync.
"""

import json
import os
import random
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from eventstore.backends.embedded.queue import EmbeddedQueue
from eventstore.collector.spool import Spool
from eventstore.errors import EngineUnavailable
from eventstore.event import new_pack_id
from eventstore.ports import Packed
from eventstore.query.read import open_reader
from tests.eventstore.power import Disk, mounted
from tests.eventstore.senders import LARGE, Sender

NewNode = Callable[..., Any]
CYCLES = int(os.environ.get("POWERCUT_CYCLES", "3"))
SEED = int(os.environ.get("POWERCUT_SEED", "1"))
ROLES = ("collector", "processor")
# What the durable parts would be without their syncs.
UNSYNCED = """
import os, sys
from eventstore.backends.embedded.database import Database
connect = Database._connect
def unsynced(self):
    connection = connect(self)
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection
Database._connect = unsynced
os.fdatasync = lambda descriptor: None
from eventstore.roles import main
sys.exit(main(sys.argv[1:]))
"""

pytestmark = pytest.mark.timeout(120 + 30 * CYCLES)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if os.geteuid() != 0:
        pytest.skip("not run: only root may mount a disk")
    with ExitStack() as stack:
        try:
            disk = stack.enter_context(mounted(tmp_path))
            disk.cut()
            disk.unmount()
            disk.mount()
        except OSError as error:
            pytest.skip(f"not run: no disk whose power can be cut: {error}")
        yield disk


@pytest.fixture
def node(disk: Disk, new_node: NewNode) -> Any:
    return new_node(
        data=f"file://{disk.folder}/data", spool=f"{disk.folder}/spool", commit_s=0.05, lease_s=1
    )


@contextmanager
def outage(disk: Disk) -> Iterator[None]:
    """The queue is locked by another, so that collectors use their spool."""
    queue = EmbeddedQueue(disk.folder / "data/queue.sqlite", packs_max=LARGE, bytes_max=LARGE)
    with suppress(EngineUnavailable, sqlite3.Error), queue._database.transaction():
        yield
    queue.close()


def cut_under_load(
    node: Any, disk: Disk, number: int, chance: random.Random, until: Any
) -> set[str]:
    """What was acknowledged until the power went."""
    running = [node.start(role) for role in ROLES]
    senders = [Sender(f"c{number}s{n}", node.port("collector"), padding=300) for n in range(4)]

    def after_more(count: int) -> None:
        wanted = sum(len(sender.acked) for sender in senders) + count
        until(lambda: sum(len(sender.acked) for sender in senders) >= wanted)

    for sender in senders:
        sender.start()
    after_more(chance.randrange(20, 300))
    with ExitStack() as spooling:
        if number % 3:
            spooling.enter_context(outage(disk))
            after_more(chance.randrange(20, 300))
        if number % 3 == 2:
            spooling.close()
            after_more(chance.randrange(1, 100))
        for generation in running:
            os.kill(generation.pid, signal.SIGSTOP)
        disk.cut()
        for generation in running:
            generation.kill()
            generation.wait()
    for sender in senders:
        sender.hang_up()
    disk.unmount()
    disk.mount()
    return {one for sender in senders for one in sender.acked}


def stored(node: Any, disk: Disk, until: Any) -> Counter[str]:
    """All events that are visible, once what was left has been worked off; by id."""
    for name in ("queue", "store"):
        connection = sqlite3.connect(disk.folder / f"data/{name}.sqlite")
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()
    running = [node.start(role) for role in ROLES]
    reader = open_reader(node.settings["data"])
    spool = Spool(disk.folder / "spool", LARGE)
    until(lambda: spool.bytes() == 0 and reader.pending().packs == 0)
    found = Counter(json.loads(event.body)["id"] for event in reader.events())
    reader.close()
    for generation in running:
        generation.terminate()
        assert generation.wait() == 0
    return found


def test_the_checker_finds_acknowledgements_that_came_too_early(node: Any, disk: Disk, until: Any):
    node.program = ("-c", UNSYNCED)
    chance = random.Random(SEED)
    for number, place in enumerate(("queue", "spool")):
        acked = cut_under_load(node, disk, number, chance, until)
        assert acked - stored(node, disk, until).keys(), place


def test_nothing_that_was_acknowledged_is_lost(node: Any, disk: Disk, until: Any):
    print(f"POWERCUT_SEED={SEED}")
    chance = random.Random(SEED)
    acked: set[str] = set()
    for number in range(CYCLES):
        acked |= cut_under_load(node, disk, number, chance, until)
        found = stored(node, disk, until)
        print(f"cycle {number}: {len(acked)} acknowledged, {found.total()} stored", flush=True)
        assert acked - found.keys() == set()
        assert [one for one, times in found.items() if times > 1] == []


def test_a_queue_whose_disk_was_away_is_used_again_by_those_who_had_it_open(disk: Disk):
    """Without its folder in the meantime: an empty file system must not pass for an empty queue."""
    queue = EmbeddedQueue(disk.folder / "data/queue.sqlite", packs_max=LARGE, bytes_max=LARGE)
    queue.put([Packed(new_pack_id(), b"before", "/e", 1)])
    disk.cut()
    with pytest.raises(EngineUnavailable):
        queue.put([Packed(new_pack_id(), b"lost", "/e", 1)])
    disk.unmount()
    (disk.folder / "data").mkdir()
    with pytest.raises(EngineUnavailable):
        queue.put([Packed(new_pack_id(), b"lost", "/e", 1)])
    assert list((disk.folder / "data").iterdir()) == []
    (disk.folder / "data").rmdir()
    disk.mount()
    queue.put([Packed(new_pack_id(), b"after", "/e", 1)])
    assert [lease.body for lease in queue.claim(10, 60)] == [b"before", b"after"]
    queue.close()
