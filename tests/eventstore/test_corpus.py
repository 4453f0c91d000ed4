"""Bad input, format by format: always a 4xx with its reason, or kept because it is valid; never a
fault, and never more memory than a bound. What is kept breaks no processor."""

from collections.abc import Callable
from typing import Any

import pytest

from eventstore.query.read import open_reader
from tests.eventstore.corpus import csv_cases, form_cases, json_cases, msgpack_cases
from tests.eventstore.corpus.case import Case
from tests.eventstore.exchange import Answer, send
from tests.eventstore.memory import peak_kib

CORPUS: dict[str, tuple[str, list[Case]]] = {
    "json": ("application/json", [*json_cases.JSON, *json_cases.deepest()]),
    "ndjson": ("application/x-ndjson", [*json_cases.NDJSON, *json_cases.deepest()]),
    "form": ("application/x-www-form-urlencoded", form_cases.FORM),
    "csv": ("text/csv", csv_cases.CSV),
    "msgpack": ("application/vnd.msgpack", msgpack_cases.MSGPACK),
}
MEMORY_KIB_MAX = 64 << 10


@pytest.mark.parametrize("name", CORPUS)
def test_every_case_is_refused_with_a_reason_or_kept(
    new_node: Callable[..., Any], until: Any, name: str
):
    content_type, cases = CORPUS[name]
    node = new_node(endpoints=[{"path": "/in"}, {"path": "/own", "format": name}])
    collector = node.start("collector")
    port = node.port("collector")
    assert send(port, "/in", b"{}", {"Content-Type": "application/json"}).status == 200
    before = peak_kib(collector.pid)
    kept: list[Case] = []
    for path in ("/in", "/own"):
        for case in cases:
            headers = {"Content-Type": content_type, **case.headers}
            answer = send(port, path, case.body, headers)
            assert answer.status == case.status, (case.name, answer.body)
            if case.status == 200:
                assert answer.json["accepted"] == case.events, case.name
                kept.append(case)
            else:
                assert answer.code == case.code, (case.name, answer.body)
    assert peak_kib(collector.pid) - before < MEMORY_KIB_MAX
    assert 'code="5' not in collector.ask("/metrics")[1]
    processor = node.start("processor")
    reader = open_reader(node.data)
    until(lambda: reader.pending().packs == 0)
    assert "ev_pack_failures_total 0" in processor.ask("/metrics")[1]
    assert list(reader.dead_letters()) == []
    events = list(reader.events())
    assert len(events) == 1 + sum(case.events for case in kept)
    unreadable = 0
    for event in events:
        try:
            assert type(event.value) is dict
        except ValueError:
            unreadable += 1
    named = [case.events for case in kept if case.name == json_cases.KEPT_UNREADABLE]
    assert unreadable == sum(named)
    reader.close()


def test_pixels_are_images_whatever_is_asked_of_them(new_node: Callable[..., Any]):
    node = new_node(endpoints=[{"path": "/p.gif", "format": "pixel"}])
    collector = node.start("collector")
    for case in form_cases.BOTH:
        answer = send(node.port("collector"), f"/p.gif?{case.body.decode()}", method="GET")
        assert (answer.status, answer.headers["content-type"]) == (case.status, "image/gif")
        if case.status != 200:
            said = Answer(answer.status, {}, answer.headers["x-refused"].encode())
            assert said.code == case.code, case.name
    assert 'code="5' not in collector.ask("/metrics")[1]
