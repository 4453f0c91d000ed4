"""The spool's files: whole packs in order, whatever was cut off, damaged, locked or left behind."""

import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from uuid import UUID

import pytest

from eventstore.collector import spool as module
from eventstore.collector.spool import Segment, Spool, folder_of, record, records
from eventstore.errors import EngineUnavailable, QueueFull
from eventstore.event import new_pack_id

Pack = tuple[UUID, bytes]


def packs(count: int, size: int = 20) -> list[Pack]:
    return [(new_pack_id(), os.urandom(size)) for _ in range(count)]


def waiting(spool: Spool) -> list[Pack]:
    """All packs that can be taken; they are left there."""
    found = []
    for segment in spool.waiting():
        found += list(records(segment.read()))
        segment.close()
    return found


def test_what_was_appended_is_there_in_order_once_it_is_handed_over(tmp_path: Path):
    spool = Spool(tmp_path / "new" / "folder", 10_000)
    put = packs(5)
    spool.append(put[:2])
    spool.append(put[2:])
    assert waiting(spool) == []  # it is still being appended to
    spool.hand_over()
    assert waiting(spool) == put
    assert waiting(Spool(tmp_path / "new" / "folder", 10_000)) == put


def test_a_tail_that_is_cut_anywhere_costs_only_what_it_cuts():
    put = packs(3)
    data = b"".join(record(*pack) for pack in put)
    ends = [len(b"".join(record(*pack) for pack in put[:count])) for count in range(4)]
    for length in range(len(data) + 1):
        whole = sum(end <= length for end in ends[1:])
        assert list(records(data[:length])) == put[:whole], length
        # What a file system may show after a power cut: the length, but not all of the bytes.
        assert list(records(data[:length].ljust(len(data), b"\0"))) == put[:whole], length


def test_a_tail_that_is_cut_is_no_error(caplog: pytest.LogCaptureFixture):
    put = packs(2)
    data = b"".join(record(*pack) for pack in put)
    assert list(records(data[:-1])) == put[:1]
    assert caplog.messages == []


def test_damage_in_the_middle_is_reported_and_costs_one_pack(caplog: pytest.LogCaptureFixture):
    put = packs(3)
    one = len(record(*put[0]))
    data = b"".join(record(*pack) for pack in put)
    for at in range(one, 2 * one):
        caplog.clear()
        damaged = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with caplog.at_level(logging.ERROR):
            assert list(records(damaged)) == [put[0], put[2]], at
        assert f"{one} bytes" in caplog.text


def test_bodies_that_look_like_records_are_bodies():
    inner = record(new_pack_id(), b"inner")
    put = [(new_pack_id(), inner * 3), (new_pack_id(), b"")]
    assert list(records(b"".join(record(*pack) for pack in put))) == put
    assert list(records(b"")) == []


def test_full_keeps_nothing_of_it_and_takes_again_once_emptied(tmp_path: Path):
    spool = Spool(tmp_path, 300)
    put = packs(3)
    spool.append(put)
    with pytest.raises(QueueFull, match="the queue is unavailable"):
        spool.append(packs(4))
    other = Spool(tmp_path, 300)  # another generation: the bound is the node's
    with pytest.raises(QueueFull):
        other.append(packs(4))
    spool.hand_over()
    assert waiting(spool) == put
    for segment in spool.waiting():
        segment.delete()
    assert spool.bytes() == 0
    spool.append(packs(6))


def test_segments_end_at_their_bound_and_keep_the_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "SEGMENT_BYTES_MAX", 100)
    spool = Spool(tmp_path, 10_000)
    put = packs(9)
    for pack in put:
        spool.append([pack])
    assert len(list(tmp_path.iterdir())) == 3
    spool.hand_over()
    assert waiting(spool) == put


def test_a_segment_is_locked_by_one_and_free_after_a_kill(tmp_path: Path):
    code = (
        "import sys, time, uuid; from pathlib import Path\n"
        "from eventstore.collector.spool import Spool\n"
        "spool = Spool(Path(sys.argv[1]), 10_000)\n"
        "spool.append([(uuid.UUID(int=7), b'kept')])\n"
        "print('kept', flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"kept\n"
        spool = Spool(tmp_path, 10_000)
        assert waiting(spool) == []
        assert spool.bytes() > 0
        process.kill()
    assert waiting(spool) == [(UUID(int=7), b"kept")]


def test_one_that_is_being_emptied_is_nobody_elses(tmp_path: Path):
    spool = Spool(tmp_path, 10_000)
    spool.append(packs(1))
    spool.hand_over()
    (segment,) = spool.waiting()
    assert list(Spool(tmp_path, 10_000).waiting()) == []
    segment.delete()
    assert list(spool.waiting()) == []


def test_one_that_was_deleted_before_its_lock_came_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "x.spool"
    path.touch()
    really = os.open

    def opened(*arguments: object, **named: object) -> int:
        descriptor = really(*arguments, **named)  # type: ignore[arg-type]
        path.unlink(missing_ok=True)  # another emptied it in this very moment
        return descriptor

    monkeypatch.setattr(os, "open", opened)
    assert Segment.locked(path) is None


@pytest.mark.parametrize("call", ["pwrite", "fdatasync"])
def test_a_write_that_fails_is_not_kept_and_the_next_goes_elsewhere(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    spool = Spool(tmp_path, 10_000)
    before, failing, after = packs(1), packs(1), packs(1)
    spool.append(before)

    def broken(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, call, broken)
        with pytest.raises(EngineUnavailable, match="No space left"):
            spool.append(failing)
    spool.append(after)
    spool.hand_over()
    assert waiting(spool) == before + after


def test_writes_are_synced_before_they_return(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    calls: list[str] = []
    for name in ("pwrite", "fdatasync", "fsync"):
        really = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, n=name, f=really: (calls.append(n), f(*a))[1])
    spool = Spool(tmp_path, 10_000)
    spool.append(packs(1))
    assert calls == ["fsync", "pwrite", "fdatasync"]  # the folder has the file's name, then it


def test_names_sort_by_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    spool = Spool(tmp_path, 10_000)
    put = packs(3)
    for number, pack in enumerate(put):
        monkeypatch.setattr(time, "time_ns", lambda n=number: 10 ** (17 + n))
        spool.append([pack])
        spool.hand_over()
    assert waiting(spool) == put


def test_a_folder_that_cannot_be_is_said(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(EngineUnavailable, match="cannot make the spool"):
        Spool(tmp_path / "file" / "below", 1)


def test_where_it_is():
    assert folder_of("none", {"STATE_DIRECTORY": "/s"}) is None
    assert folder_of("/x", {"STATE_DIRECTORY": "/s"}) == Path("/x")
    assert folder_of("", {"STATE_DIRECTORY": "/s"}) == Path("/s/spool")
    assert folder_of("", {}) is None
