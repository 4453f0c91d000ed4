"""Transforms: what they may return, and what they can't do to a pack, whatever they do."""

import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from eventstore import engines, packing
from eventstore.errors import SettingsError
from eventstore.event import EventId, new_pack_id
from eventstore.formats import json_fields
from eventstore.ports import Enriched, Packed
from eventstore.processing import view
from eventstore.processing.enrich import Rules, enrich
from eventstore.processing.processor import Processor
from eventstore.processing.transformer import Transformer
from eventstore.processing.transforms import Transform, line_of
from eventstore.query.read import open_reader
from eventstore.settings import Settings

NOW_MS = 1795530600_000
HERE = Path(__file__).parent
TAGS = {"endpoint": "/v1/events", "source": "web"}
MODULE = "transforms_of_tests"
Run = Callable[..., Enriched]


@pytest.fixture(autouse=True)
def found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{HERE}:{HERE.parent.parent}")


@pytest.fixture
def run() -> Iterator[Run]:
    """Events through transforms."""
    started: list[Transformer] = []

    def once(events: list[bytes], *names: str, event_s: float = 20, pack_s: float = 60) -> Enriched:
        transformer = Transformer(
            [f"{MODULE}:{name}" for name in names], event_s=event_s, pack_s=pack_s
        )
        started.append(transformer)
        pack_id, body = packed(events)
        return enrich(pack_id, body, Rules.of(Settings()), transformer)

    yield once
    for one in started:
        one.close()


def packed(events: list[bytes]) -> tuple[Any, bytes]:
    pack_id = new_pack_id()
    share = packing.Share(len(events), NOW_MS, user_agent="curl/8.5.0")
    return pack_id, packing.pack(pack_id, TAGS, [share], [b"\n".join(events)], None)


def commands(*what: str) -> list[bytes]:
    return [orjson.dumps({"do": one, "deep": {"n": 0}}) for one in what]


def lines(enriched: Enriched, events: int) -> list[bytes]:
    """As they are seen, which is not quite as they are kept."""
    kept = view.decode(enriched.view, events)
    return list(map(view.whole, kept, packing.unpack(enriched.body).events))


def test_what_is_returned_unchanged_is_not_kept_again(run: Run):
    events = [b'{"a":1}', b'{ "a": [1, {"b": 2.0}] }', json.dumps({"a": "\u00fc"}).encode()]
    assert run(events, "same").view == b""
    assert run(events, "same").times_seen is None


def test_events_are_changed_dropped_and_split(run: Run):
    events = commands("", "drop", "split", "split to one", "split to none", "nest")
    found = run(events, "by_command")
    assert lines(found, 6) == [
        b"", b"null", b'[{"n":1},{"n":2}]', b'[{"n":1}]', b"[]", b'{"do":"nest","deep":{"n":1}}',
    ]  # fmt: skip
    assert found.times_seen == [1, 0, 2, 1, 0, 1]
    assert sum(found.counts(set()).values()) == 5
    assert sum(found.counts({2}).values()) == 3
    assert found.dead == ()


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b'{"a":1}', b'+,"stamped":true}'),
        (b"{}", b'+"stamped":true}'),
        (b'{"a":1,"stamped":0}', b'{"a":1,"stamped":true}'),
        (b'{"a": 1}', b'{"a":1,"stamped":true}'),
        (b'{"a":1.50}', b'{"a":1.5,"stamped":true}'),
        (b'{"a":"\\u00fc"}', '{"a":"ü","stamped":true}'.encode()),
    ],
)
def test_of_members_added_to_a_compact_object_only_these_are_kept(
    sent: bytes, kept: bytes, run: Run
):
    found = run([sent], "stamp")
    assert view.decode(found.view, 1) == [kept]
    assert lines(found, 1) == [orjson.dumps({**orjson.loads(sent), "stamped": True})]
    assert found.times_seen is None


def test_an_event_that_only_its_own_transform_can_not_read_is_the_only_one_that_dies(run: Run):
    events = [b'{"n":%d}' % number for number in range(200)]
    events[70] = b'{"n":1e999}'  # JSON, and no number that a double could hold
    found = run(events, "stamp")
    assert {letter.index: letter.stage for letter in found.dead} == {70: "transform"}
    seen = lines(found, 200)
    assert seen[70] == b""
    assert all(seen[n] == b'{"n":%d,"stamped":true}' % n for n in range(200) if n != 70)


def test_transforms_work_on_what_the_one_before_returned(run: Run):
    found = run(commands("drop", "split"), "by_command", "double", "stamp")
    assert found.times_seen == [0, 4]
    parts = orjson.loads(lines(found, 2)[1])
    assert [part["n"] for part in parts] == [1, 1, 2, 2]
    assert all(part["stamped"] for part in parts)


def test_a_second_argument_is_what_enrichment_found_out(run: Run):
    (line,) = lines(run([b"{}"], "with_enriched"), 1)
    assert orjson.loads(line) == {"browser": "curl 8", "time_ms": NOW_MS}


def test_the_same_pack_gives_the_same_bytes_in_every_process(run: Run):
    assert len({run([b"{}"], "set_order").view for _ in range(3)}) == 1


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("number", "Unusable: returned int: expected an event, a list of events or None"),
        ("numbers", "Unusable: returned int in a list"),
        ("set", "TypeError: Type is not JSON serializable: set"),
    ],
)
def test_what_is_no_event_is_a_dead_letter(command: str, reason: str, run: Run):
    (letter,) = run([*commands(command), b"{}"], "by_command").dead
    assert (letter.index, letter.stage) == (0, "transform")
    assert letter.reason.startswith(reason)


def test_an_exception_is_a_dead_letter_with_its_traceback(run: Run):
    events = [b'{"bad":1}', b"{}", b'{"bad":22}']
    found = run(events, "fail")
    assert [(letter.index, letter.body) for letter in found.dead] == [
        (0, events[0]),
        (2, events[2]),
    ]
    first, rest = found.dead[0].reason.split("\n", 1)
    assert first.startswith("ValueError: no price in event 1 in fail (transforms_of_tests.py:")
    assert "Traceback" in rest
    assert "raise ValueError" in rest
    assert len({letter.fingerprint for letter in found.dead}) == 1


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("loop in C", "out of time: it ran for more than 0.3 s"),
        ("sleep", "out of time: it ran for more than 0.3 s"),
        ("crash", "the transforms' process was killed by SIGSEGV"),
        ("exit", "the transforms' process exited with 3"),
        ("memory", "MemoryError"),
        ("huge", "Unusable: 20971"),
        ("many", "Unusable: made 100000 of one event: at most 1000"),
    ],
)
def test_nothing_takes_more_than_its_own_event_with_it(what: str, reason: str, run: Run):
    events = commands("", "", what, "", what)
    found = run(events, "misbehave", "stamp", event_s=0.3)
    assert [letter.index for letter in found.dead] == [2, 4]
    assert all(letter.reason.startswith(reason) for letter in found.dead)
    stamped = [b"stamped" in line for line in lines(found, 5)]
    assert stamped == [True, True, False, True, False]


def test_a_transform_that_takes_away_the_timer_is_killed_from_outside(
    run: Run, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("eventstore.processing.transformer.GRACE_S", 0.2)
    found = run(commands("ignore the timer", ""), "misbehave", event_s=0.2, pack_s=0.4)
    assert found.dead[0].reason.startswith("out of time")


def test_a_reason_that_cannot_be_written_down_is_one_all_the_same(run: Run):
    (letter,) = run([b"{}"], "half_a_pair").dead
    assert letter.reason.startswith("ValueError: ? in half_a_pair")


def test_a_pack_ends_within_its_budget_and_says_what_it_did_not_reach(run: Run):
    found = run(commands(*["sleep"] * 40), "misbehave", event_s=0.2, pack_s=0.5)
    reasons = [letter.reason.partition(":")[2] for letter in found.dead]
    assert len(reasons) == 40
    assert reasons[-1] == " the pack's whole time was used up before this event"


def test_a_worker_that_died_between_packs_is_replaced(run: Run):
    transformer = Transformer([f"{MODULE}:stamp"], event_s=5, pack_s=10)
    worker = transformer._worker
    assert worker is not None
    worker.kill()
    worker.wait()
    pack_id, body = packed([b"{}"])
    rules = Rules.of(Settings())
    with pytest.raises(Exception, match="before any event"):
        enrich(pack_id, body, rules, transformer)
    assert enrich(pack_id, body, rules, transformer).view
    transformer.close()


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("transforms_of_tests:absent", "absent"),
        ("no_such_module:f", "ModuleNotFoundError"),
        ("transforms_of_tests", "expected package.module:function"),
        ("transforms_of_tests:not_callable", "expected package.module:function"),
        ("transforms_of_tests:three", "takes 3 arguments"),
    ],
)
def test_what_cannot_be_loaded_is_said_at_start(name: str, complaint: str):
    with pytest.raises(SettingsError, match=f"transforms: .*{complaint}"):
        Transformer([name], event_s=1, pack_s=1)


def test_readers_see_what_transforms_made_and_the_payload_stays(tmp_path: Path):
    settings = Settings(
        data=f"file://{tmp_path}", transforms=(f"{MODULE}:by_command", f"{MODULE}:stamp")
    )
    queue, store = engines.open_queue(settings), engines.open_store(settings)
    events = commands("", "drop", "split")
    pack_id, body = packed(events)
    queue.put([Packed(pack_id, body, "/v1/events", 3)])
    processor = Processor(queue, store, settings)
    assert processor.step() == 1
    assert processor.dropped.value() == 1
    processor.close()
    reader = open_reader(settings.data)
    seen = list(reader.events())
    assert [str(event.id).partition(":")[2] for event in seen] == ["0", "2.0", "2.1"]
    assert [event.body for event in seen] == [events[0], events[2], events[2]]
    assert [event.value for event in seen] == [
        {**orjson.loads(events[0]), "stamped": True},
        {"n": 1, "stamped": True},
        {"n": 2, "stamped": True},
    ]
    assert [reader.event(event.id) for event in seen] == seen
    assert reader.event(EventId(pack_id, 1)) is None
    assert reader.event(EventId(pack_id, 2)) is None
    assert sum(reader.recounted().values()) == 3
    for one in (reader, queue, store):
        one.close()


def test_a_processor_that_is_killed_leaves_no_worker(
    new_node: Callable[..., Any], until: Callable[..., None]
):
    node = new_node(transforms=[f"{MODULE}:misbehave"], transform_s=0.5)
    processor = node.start("processor")
    (worker,) = children(processor.pid)
    queue = engines.open_queue(Settings(data=node.data))
    queue.put([Packed(*packed(commands("loop in C")), "/v1/events", 1)])
    until(lambda: queue.depth().leased == 1)
    processor.kill()
    processor.wait()
    until(lambda: not Path(f"/proc/{worker}").exists() or "Z" in state_of(worker))
    queue.close()


def test_a_transform_that_cannot_be_loaded_ends_the_process(new_node: Callable[..., Any]):
    generation = new_node(transforms=["no_such_module:f"]).start("processor", ready=False)
    assert generation.wait() != 0
    assert "no_such_module" in generation.log.read_text()


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_what_is_made_takes_no_more_than_its_bytes():
    """A pack's lines are counted by these, and may be 64 MiB."""

    def made() -> bytes:
        value = {"numbers": list(range(20_000))}
        transform = Transform(lambda _event: value, takes_enriched=False)
        return line_of([transform], {"a": 1}, b'{"a":1}', b"", json_fields.value, enriched=None)

    made()  # what is made once is made
    tracemalloc.start()
    line = made()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(line) < held < len(line) + 2000
