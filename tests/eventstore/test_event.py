"""An event's identity and times."""

import time
from uuid import UUID

import pytest

from eventstore.event import EventId, new_pack_id, parse_id, window_start_s

NOW_MS = 1795530600_000


def test_pack_ids_are_uuid7_of_now():
    before = time.time_ns() // 1_000_000
    made = new_pack_id()
    assert (made.version, made.variant) == (7, UUID(int=0x8 << 60).variant)
    assert before <= made.int >> 80 <= time.time_ns() // 1_000_000
    assert len({new_pack_id() for _ in range(1000)}) == 1000


def test_event_ids_are_read_back():
    event_id = EventId(new_pack_id(), 7)
    assert EventId.parse(str(event_id)) == event_id
    for wrong in ("", "x:1", f"{event_id.pack}", f"{event_id.pack}:-1", f"{event_id.pack}:x"):
        with pytest.raises(ValueError, match="expected <uuid>:<index>"):
            EventId.parse(wrong)
    assert parse_id(f"{event_id.pack}") == (event_id.pack, None)
    for wrong in ("", "x", "x:1", f"{event_id.pack}:0-3", f"{event_id.pack}:{'9' * 5000}"):
        with pytest.raises(ValueError, match="expected"):
            parse_id(wrong)


def test_windows():
    assert window_start_s(NOW_MS + 59_999, 60) == 1795530600
    assert window_start_s(NOW_MS + 60_000, 60) == 1795530660
