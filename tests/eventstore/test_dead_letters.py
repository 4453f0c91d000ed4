"""Dead letters: kept with why, in groups; replayed under the same ids, without a second copy."""

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eventstore import engines, packing
from eventstore.errors import PackCorrupt
from eventstore.event import EventId, new_pack_id
from eventstore.ports import Packed
from eventstore.processing import processor as processor_module
from eventstore.processing.processor import Processor
from eventstore.query.ledger import read_ledger
from eventstore.query.read import Reader
from eventstore.settings import Settings
from eventstore.tools.dispatch import run_tool

HERE = Path(__file__).parent
MODULE = "transforms_of_tests"
NOW_MS = 1795530600_000
EVENTS = [b'{"id":"a","bad":1}', b'{"id":"b"}', b'{"id":"c","bad":22}']
Tool = Callable[..., tuple[int, Any]]


class Store:
    """The engines of one folder, with a processor whose transforms can be changed."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(data=f"file://{folder}/data", attempts_max=2)
        self.file = folder / "settings.yaml"
        self.queue = engines.open_queue(self.settings)
        self.store = engines.open_store(self.settings)
        aggregates = engines.open_aggregates(self.settings)
        self.reader = Reader(self.queue, self.store, aggregates, self.settings)
        self.use()

    def use(self, *transforms: str) -> None:
        names = [f"{MODULE}:{one}" for one in transforms]
        self.settings = dataclasses.replace(self.settings, transforms=tuple(names))
        self.file.write_text(json.dumps({"data": self.settings.data, "transforms": names}))

    def put(self, events: list[bytes]) -> Packed:
        pack_id = new_pack_id()
        tags = {"endpoint": "/e", "source": "web"}
        share = packing.Share(len(events), NOW_MS)
        body = packing.pack(pack_id, tags, [share], [b"\n".join(events)], None)
        pack = Packed(pack_id, body, "/e", len(events))
        self.queue.put([pack])
        return pack

    def process(self) -> None:
        processor = Processor(self.queue, self.store, self.settings)
        while processor.step():
            pass
        processor.close()

    def seen(self) -> Counter[bytes]:
        return Counter(event.body for event in self.reader.events())

    def faults(self) -> list[Any]:
        return [fault for line in read_ledger(self.queue, self.store, 0) for fault in line.faults]


@pytest.fixture(autouse=True)
def found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{HERE}:{HERE.parent.parent}")
    monkeypatch.setattr(processor_module, "RETRY_STEP_S", 0)


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.reader.close()


@pytest.fixture
def tool(at: Store, capsys: pytest.CaptureFixture[str]) -> Tool:
    """`events …` with the store's settings: exit code, and what it printed as JSON."""

    def run(name: str, *arguments: str) -> tuple[int, Any]:
        code = run_tool([name, *arguments, "--settings", str(at.file), "--json"])
        return code, json.loads(capsys.readouterr().out)

    return run


def test_what_died_is_shown_in_groups_and_in_full(at: Store, tool: Tool):
    at.use("fail")
    pack = at.put(EVENTS)
    at.process()
    (group,) = tool("dead", "ls")[1]
    assert (group["letters"], group["stage"]) == (2, "transform")
    assert group["reason"].startswith("ValueError: no price in event 1 in fail")
    assert group["example"] == str(EventId(pack.pack_id, 0))
    code, letters = tool("dead", "show", "--fingerprint", group["fingerprint"])
    assert (code, [one["body"] for one in letters]) == (0, [EVENTS[0].decode(), EVENTS[2].decode()])
    assert all("Traceback" in one["reason"] for one in letters)


def test_a_replayed_event_is_visible_once_and_changes_no_other(at: Store, tool: Tool):
    at.use("fail")
    pack = at.put(EVENTS)
    at.process()
    at.put([EVENTS[0]])  # its client sends the first again: hidden, whatever becomes of the first
    at.use("mended")
    at.process()
    assert at.seen() == Counter(EVENTS[1:2])
    fingerprint = tool("dead", "ls")[1][0]["fingerprint"]
    code, done = tool("dead", "replay", "--fingerprint", fingerprint)
    assert (code, done) == (0, {"revived": 2, "still_dead": 0, "put_back": 0})
    assert at.seen() == Counter(EVENTS)
    values = {str(event.id): event.value for event in at.reader.events()}
    assert values == {
        str(EventId(pack.pack_id, 0)): {"mended": 1},
        str(EventId(pack.pack_id, 1)): {"id": "b"},
        str(EventId(pack.pack_id, 2)): {"mended": 22},
    }
    assert tool("dead", "ls")[1] == []
    assert at.faults() == []
    assert sum(at.reader.recounted().values()) == 3
    code, error = tool("dead", "replay", "--fingerprint", fingerprint)
    assert code == 1
    assert "events dead ls" in error["error"]["reason"]


def test_what_dies_again_is_kept_with_its_new_reason(at: Store, tool: Tool):
    at.use("fail")
    at.put(EVENTS)
    at.process()
    at.use("strict")
    fingerprint = tool("dead", "ls")[1][0]["fingerprint"]
    code, done = tool("dead", "replay", "--fingerprint", fingerprint)
    assert (code, done["still_dead"]) == (1, 2)
    (group,) = tool("dead", "ls")[1]
    assert group["reason"].startswith("LookupError")
    assert at.seen() == Counter(EVENTS[1:2])
    assert at.faults() == []


def test_only_the_chosen_group_is_replayed(at: Store, tool: Tool):
    at.use("fail")
    pack = at.put([*EVENTS, b"nonsense"])
    at.process()
    groups = {one["stage"]: one for one in tool("dead", "ls")[1]}
    assert set(groups) == {"format", "transform"}
    at.use()
    tool("dead", "replay", "--fingerprint", groups["transform"]["fingerprint"])
    (left,) = tool("dead", "ls")[1]
    assert left["example"] == str(EventId(pack.pack_id, 3))
    assert at.seen() == Counter(EVENTS)


def test_a_whole_pack_goes_back_to_the_queue_and_its_letter_with_it(
    at: Store, tool: Tool, monkeypatch: pytest.MonkeyPatch
):
    def broken(*_: Any) -> Any:
        raise PackCorrupt("planted")

    with monkeypatch.context() as patched:
        patched.setattr(processor_module, "transformed", broken)
        pack = at.put(EVENTS)
        at.process()
    (group,) = tool("dead", "ls")[1]
    assert (group["stage"], group["example"]) == ("pack", str(pack.pack_id))
    for _ in range(2):
        code, done = tool("dead", "replay", "--fingerprint", group["fingerprint"])
        assert (code, done["put_back"]) == (0, 1)
    assert at.faults() == []
    at.process()
    assert at.seen() == Counter(EVENTS)
    assert tool("dead", "ls")[1] == []
    assert at.faults() == []


def test_a_pack_that_is_still_poison_is_a_dead_letter_again(at: Store, tool: Tool):
    pack_id = new_pack_id()
    at.queue.put([Packed(pack_id, b"no pack", "/e", 2)])
    at.process()
    (group,) = tool("dead", "ls")[1]
    tool("dead", "replay", "--fingerprint", group["fingerprint"])
    at.process()
    assert tool("dead", "ls")[1] == [group]
    assert at.faults() == []


def test_people_read_the_same(at: Store, capsys: pytest.CaptureFixture[str]):
    settings = ["--settings", str(at.file)]
    assert run_tool(["dead", *settings, "ls"]) == 0
    assert capsys.readouterr().err == "no dead letters\n"
    at.use("fail")
    at.put(EVENTS)
    at.process()
    run_tool(["dead", *settings, "ls"])
    head, line, example = capsys.readouterr().out.splitlines()
    assert head.split() == ["fingerprint", "letters", "stage", "reason", "·", "example"]
    assert "ValueError: no price" in line
    assert example.strip().endswith(":0")
    assert run_tool(["dead", *settings, "show"]) == 2
    assert "needs --fingerprint" in capsys.readouterr().err
    at.use()
    run_tool(["dead", *settings, "show", "--fingerprint", line.split()[0]])
    assert '"bad":22' in capsys.readouterr().out
    run_tool(["dead", *settings, "replay", "--fingerprint", line.split()[0]])
    assert capsys.readouterr().out == "2 events are visible, 0 are still dead\n"


def test_a_candidate_is_compared_with_what_is_seen_now(at: Store, tool: Tool):
    at.use("stamp")
    at.put([b'{"do":"drop"}', b'{"do":"split"}', b'{"do":"number"}', b'{"n":1}', b"nonsense"])
    at.process()
    before = list(at.store.packs())
    code, found = tool("try", f"{MODULE}:by_command", f"{MODULE}:stamp")
    assert code == 0
    assert {name: found[name] for name in ("events", "same", "changed", "dropped", "split")} == {
        "events": 4, "same": 1, "changed": 0, "dropped": 1, "split": 1,
    }  # fmt: skip
    assert found["dead"] == 1
    assert found["examples"]["dropped"][0]["now"] == [{"do": "drop", "stamped": True}]
    assert found["examples"]["split"][0]["then"][0] == {"n": 1, "stamped": True}
    assert found["examples"]["dead"][0]["reason"].startswith("Unusable")
    assert tool("try", f"{MODULE}:drop_all", "--sample", "2")[1]["dropped"] == 2
    assert list(at.store.packs()) == before


def test_an_event_that_can_not_be_read_ends_no_comparison(at: Store, tool: Tool):
    """Large NDJSON is taken without looking at each number."""
    at.put([b'{"n":1}', b'{"n":1e999}'])
    at.process()
    code, found = tool("try", f"{MODULE}:stamp")
    assert (code, found["events"], found["changed"], found["dead"]) == (0, 2, 1, 1)
    (dead,) = found["examples"]["dead"]
    assert (dead["now"], "infinity" in dead["reason"]) == (['{"n":1e999}'], True)


def test_a_comparison_is_shown_as_diffs(at: Store, capsys: pytest.CaptureFixture[str]):
    at.put([b'{"n":1}'])
    at.process()
    assert run_tool(["try", "--settings", str(at.file), f"{MODULE}:stamp"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("1 events: 0 same, 1 changed, 0 dropped, 0 split, 0 dead\n\nchanged: ")
    assert shown.endswith(' {\n   "n": 1\n+  "stamped": true\n }\n')


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [(["no_such:f"], "no_such"), ([f"{MODULE}:stamp", "--sample", "0"], "--sample: 0")],
)
def test_a_wrong_trial_is_a_usage_error(arguments: list[str], complaint: str, tool: Tool):
    code, error = tool("try", *arguments)
    assert code == 2
    assert complaint in error["error"]["reason"]
