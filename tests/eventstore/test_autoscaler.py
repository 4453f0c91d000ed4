"""The autoscaler: what nodes say, whose turn it is, and what is decided and answered."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from eventstore.autoscaling.autoscaler import Autoscaler, ask_page
from eventstore.autoscaling.measure import Page, page_of, signals_of
from eventstore.autoscaling.nodes import known
from eventstore.autoscaling.terms import Terms
from eventstore.backends.embedded.objects import EmbeddedObjects
from eventstore.errors import EngineUnavailable
from scaling.decide import Signals, Target
from tests.eventstore.conftest import ROOT, _post, _until

TARGETS = {"processor": Target(floor=1, ceiling=5, oldest_s=10, up_s=0, down_s=60)}
NODE = "http://10.0.0.13:8081"
PAGE = """\
# TYPE ev_info gauge
ev_info{role="processor",release="1.0.0-a",node="processor-01"} 1
# TYPE ev_requests_total counter
ev_requests_total{code="200"} 7
ev_requests_total{code="429"} 3
process_cpu_seconds_total 1.5
ev_packs_stored_total 100
ev_queue_packs 50
ev_queue_leased 16
ev_queue_oldest_seconds 2.5
"""


def page(at_s: float, *, release: str = "a", **values: float) -> Page:
    return Page(at_s, release, values)


def working(at_s: float, stored: float, waiting: float) -> Page:
    return page(
        at_s,
        process_cpu_seconds_total=at_s,
        ev_packs_stored_total=stored,
        ev_queue_packs=waiting,
        ev_queue_leased=0,
        ev_queue_oldest_seconds=3,
    )


def test_a_page_is_read_by_name_its_labels_summed():
    read = page_of(PAGE, 5.0)
    assert read.identity == 'role="processor",release="1.0.0-a",node="processor-01"'
    assert read.values["ev_requests_total"] == 10
    assert read.values["ev_queue_oldest_seconds"] == 2.5


def test_signals_are_what_grew_between_two_rounds_of_all_nodes():
    before = {"a": working(10, 100, 30), "b": working(10, 50, 29)}
    after = {"a": working(20, 200, 60), "b": working(20, 150, 58), "c": None}
    assert signals_of("processor", before, after) == Signals(
        nodes=2,
        silent=1,
        seconds=10,
        cpu_cores=2.0,
        arrived_per_s=23.0,  # 20 drained, and 30 more wait after ten seconds
        drained_per_s=20.0,
        waiting=60,
        was_waiting=30,
        oldest_s=3,
    )


def test_of_a_queue_that_tells_no_age_it_is_how_long_packs_had_waited():
    def seen(waits: list[tuple[float, int]]) -> float | None:
        before, after = (
            page(at_s, ev_pack_wait_seconds_sum=seconds, ev_pack_wait_seconds_count=packs)
            for at_s, (seconds, packs) in zip((10, 20), waits, strict=True)
        )
        return signals_of("processor", {"a": before}, {"a": after}).oldest_s

    assert seen([(100, 10), (700, 20)]) == 60
    assert seen([(100, 10), (100, 10)]) is None


def test_a_node_that_was_swapped_in_between_is_stood_for_by_the_others():
    before = {"a": working(10, 100, 0), "b": page(10, release="old", ev_packs_stored_total=900)}
    after = {"a": working(20, 200, 0), "b": working(20, 7, 0)}
    seen = signals_of("processor", before, after)
    assert (seen.nodes, seen.drained_per_s) == (2, 20.0)


def test_a_node_that_began_anew_is_no_drain_backwards():
    before, after = {"a": working(10, 100, 0)}, {"a": working(20, 3, 0)}
    assert signals_of("processor", before, after) == Signals(nodes=0, silent=1)


def test_what_a_role_has_not_is_not_known():
    before, after = {"a": page(10, ev_requests_total=5)}, {"a": page(20, ev_requests_total=25)}
    assert signals_of("collector", before, after) == Signals(
        nodes=1, seconds=10, requests_per_s=2.0
    )


@dataclass
class Time:
    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class World:
    """Nodes that answer what a test says, and autoscalers that share a folder."""

    folder: Path
    time: Time = field(default_factory=Time)
    pages: dict[str, Callable[[], Page | None]] = field(default_factory=dict)
    done: list[Mapping[str, int]] = field(default_factory=list)

    def terms(self, owner: str) -> Terms:
        return Terms(EmbeddedObjects(self.folder), owner, 60, self.time)

    def autoscaler(self, owner: str = "one", **more: Any) -> Autoscaler:
        return Autoscaler(
            TARGETS,
            self.terms(owner),
            lambda: {"processor": tuple(self.pages)},
            every_s=10,
            ask=lambda url: self.pages[url](),
            clock=self.time,
            **more,
        )

    def set_desired(self, desired: Mapping[str, int]) -> None:
        self.done.append(desired)

    def close(self) -> None:
        """Of hands."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def overloaded(world: World) -> None:
    """One processor that stores 10 a second, and 20 a second come."""
    started_s = world.time.now_s

    def now() -> Page:
        seconds = world.time.now_s - started_s
        return working(world.time.now_s, 10 * seconds, 100 + 10 * seconds)

    world.pages[NODE] = now


def test_it_decides_on_two_rounds_and_says_why(world: World):
    overloaded(world)
    one = world.autoscaler(hands=world)
    one.step()
    assert one.desired() == {"processor": 1}
    world.time.now_s += 10
    one.step()
    assert one.desired() == {"processor": 3}
    (change,) = one.answer["changes"]
    assert change == {
        "at": 1010.0,
        "role": "processor",
        "from": 1,
        "to": 3,
        "why": "20.0/s arrive, a node drains 10.0/s",
    }
    assert one.answer["roles"]["processor"]["signals"]["drained_per_s"] == 10.0
    assert world.done == [{"processor": 1}, {"processor": 3}]


def test_another_stands_by_and_knows_what_was_decided(world: World):
    overloaded(world)
    one, other = world.autoscaler("one"), world.autoscaler("other", hands=world)
    for _ in range(2):
        one.step()
        other.step()
        world.time.now_s += 10
    assert other.answer == json.loads(json.dumps({**one.answer, "decides": False}))
    assert world.done == []


def test_when_the_one_falls_silent_the_other_goes_on_where_it_was(world: World):
    overloaded(world)
    one, other = world.autoscaler("one"), world.autoscaler("other")
    one.step()
    world.time.now_s += 10
    one.step()
    other.step()
    world.time.now_s += 59
    other.step()
    assert not other.answer["decides"]
    world.time.now_s += 2
    other.step()
    assert other.answer["decides"]
    assert other.desired() == {"processor": 3}, "it has no two rounds yet, and keeps what was"
    assert [change["to"] for change in other.answer["changes"]] == [3]


def test_one_that_ends_lets_the_other_decide_at_once(world: World):
    overloaded(world)
    one, other = world.autoscaler("one"), world.autoscaler("other")
    one.step()
    other.step()
    one.stop()
    one.run()
    other.step()
    assert other.answer["decides"]


def test_a_decision_that_another_was_first_with_is_none(world: World):
    overloaded(world)
    one, other = world.autoscaler("one", hands=world), world.terms("other")
    seen = other.last()
    slow = world.pages[NODE]

    def while_asking() -> Page | None:
        assert other.write(seen, {"at": 1, "roles": {}, "changes": []})
        return slow()

    world.pages[NODE] = while_asking
    one.step()
    assert world.done == []
    assert not one.answer["decides"]


def test_what_another_release_has_decided_is_gone_on_from(world: World):
    overloaded(world)
    state = {"desired": 4, "of_tomorrow": 1}
    terms = world.terms("one")
    assert terms.write(terms.last(), {"roles": {"processor": {"state": state}}})
    one = world.autoscaler("one")
    one.step()
    assert one.desired() == {"processor": 4}


def test_terms_are_few_however_long_it_runs(world: World):
    terms = world.terms("one")
    for number in range(20):
        assert terms.write(terms.last(), {"number": number})
    assert len(list(world.folder.iterdir())) == 3
    assert terms.last().decided == {"number": 19}


def test_a_term_that_is_none_stops_decisions_and_is_named(world: World):
    (world.folder / "term-0000000007.json").write_text("{")
    with pytest.raises(EngineUnavailable, match=r"term-0000000007\.json is no term"):
        world.autoscaler().step()


def test_nodes_of_a_file_are_read_anew_each_time(tmp_path: Path):
    file = tmp_path / "nodes.yaml"
    of_file = known(file.as_uri())
    assert of_file() == {}
    file.write_text("processor: everywhere\n")
    with pytest.raises(EngineUnavailable, match=r"nodes\.yaml can't be read"):
        of_file()
    file.write_text(f"processor: [{NODE}/]\n")
    assert of_file() == {"processor": (NODE,)}
    file.write_text("processor: []\n")
    assert of_file() == {"processor": ()}


def test_a_node_that_is_not_there_has_no_page():
    assert ask_page("http://127.0.0.1:1") is None


def test_the_process_decides_on_real_nodes_and_lets_go_when_it_is_swapped(
    new_node: Callable[..., Any], tmp_path: Path
):
    node = new_node()
    node.settings = {"scaling_nodes": (tmp_path / "nodes.yaml").as_uri(), "scaling_s": 0.2}
    for role in ("collector", "processor"):
        node.start(role)
    nodes = {role: [f"http://127.0.0.1:{node.port(role)}"] for role in ("collector", "processor")}
    (tmp_path / "nodes.yaml").write_text(json.dumps(nodes))
    one = node.start("autoscaler")
    assert _post(node.port("collector"), b'{"type": "a"}')[0] == 200

    def measured() -> bool:
        roles = json.loads(one.ask("/desired")[1])["roles"]
        seen = {role: roles[role]["signals"] for role in roles}
        return bool(seen) and all(seen[role]["cpu_cores"] is not None for role in nodes)

    _until(measured, 60)
    said = json.loads(one.ask("/desired")[1])
    assert said["decides"]
    assert {role: one["desired"] for role, one in said["roles"].items()} == {
        "collector": 2,
        "processor": 2,
    }
    assert "ev_desired_processor_nodes 2" in one.ask("/metrics")[1]
    other = node.start("autoscaler")
    _until(lambda: other.ask("/readyz")[1].startswith("ready\nstands by"), 60)
    one.terminate()
    assert one.wait() == 0
    _until(lambda: json.loads(other.ask("/desired")[1])["decides"], 60)


def test_the_release_carries_what_the_role_imports():
    assert '"scaling/**"' in (ROOT / "evctl.yaml").read_text()
