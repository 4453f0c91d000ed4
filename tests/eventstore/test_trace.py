"""Receipts and envelopes: where an event is, at each stage of its way, and what is known of it."""

import http.client
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from cloudevents.core.v1.event import CloudEvent

from eventstore import engines, packing
from eventstore.backends.embedded.store import VERSION as STORE_VERSION
from eventstore.backends.generations import SCHEMA_VERSION as AGGREGATE_VERSION
from eventstore.errors import ImpossibleId
from eventstore.event import EventId, new_pack_id
from eventstore.ledger import accepted_at_ms
from eventstore.ports import Packed, Stage
from eventstore.postprocessing.postprocessor import Postprocessor
from eventstore.processing.processor import Processor
from eventstore.query.read import Reader, open_reader
from eventstore.query.trace import CLOCKS_DIFFER_MS, Trace, Tracer, refuse_impossible
from eventstore.settings import Settings
from eventstore.times import iso_time

NOW_MS = 1795530600_123
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TAGS = {
    "endpoint": "/v1/events",
    "source": "my shop",
    "tenant": "acme",
    "node": "collector-01",
    "role": "collector",
    "release": "1.0.0",
}
SECRET = "nobody-elses-business"


class Hops:
    """The engines, and whoever works on them."""

    def __init__(self, data: str) -> None:
        self.settings = Settings(data=data, attempts_max=1)
        self.queue = engines.open_queue(self.settings)
        self.store = engines.open_store(self.settings)
        self.aggregates = engines.open_aggregates(self.settings)
        self.tracer = Tracer(self.queue, self.store, self.aggregates)

    def put(self, events: Sequence[bytes], **share: Any) -> Packed:
        pack_id = new_pack_id()
        shares = [packing.Share(len(events), NOW_MS, **share)]
        body = packing.pack(pack_id, TAGS, shares, [b"\n".join(events)], None)
        pack = Packed(pack_id, body, TAGS["endpoint"], len(events))
        self.queue.put([pack])
        return pack

    def process(self) -> None:
        who = {"node": "processor-01", "release": "1.0.1"}
        while Processor(self.queue, self.store, self.settings, **who).step():
            pass

    def publish(self) -> None:
        who = {"node": "post-01", "release": "1.0.2"}
        Postprocessor(self.store, self.aggregates, self.settings, **who).step()

    def stages(self, pack: Packed, index: int | None = None) -> list[Stage]:
        found = self.tracer.trace(pack.pack_id, index)
        assert found is not None
        return list(found.stages)

    def names(self, pack: Packed, index: int | None = None) -> list[str]:
        return [one.name for one in self.stages(pack, index)]

    def close(self) -> None:
        self.queue.close()
        self.store.close()


@pytest.fixture
def hops(tmp_path: Path) -> Iterator[Hops]:
    hops = Hops(f"file://{tmp_path}")
    yield hops
    hops.close()


@pytest.fixture
def reader(hops: Hops) -> Iterator[Reader]:
    reader = open_reader(hops.settings.data)
    yield reader
    reader.close()


# the stages


def test_each_stage_has_its_time_its_node_and_its_release(hops: Hops):
    pack = hops.put([b"{}", b"{}"])
    assert hops.names(pack, 1) == ["accepted", "queued"]
    leases = hops.queue.claim(1, 60, node="processor-01", release="1.0.1")
    assert hops.names(pack, 1) == ["accepted", "queued", "leased"]
    hops.queue.release(leases)
    hops.process()
    assert hops.names(pack, 1) == ["accepted", "queued", "leased", "stored"]
    hops.publish()
    accepted, *later = hops.stages(pack, 1)
    assert accepted == Stage("accepted", NOW_MS, "collector-01", "1.0.0")
    assert [(one.name, one.node, one.release) for one in later] == [
        ("queued", "collector-01", "1.0.0"),
        ("leased", "processor-01", "1.0.1"),
        ("stored", "processor-01", "1.0.1"),
        ("aggregated", "post-01", "1.0.2"),
    ]
    times = [one.at_ms for one in later]
    assert times == sorted(times)
    assert 0 <= time.time_ns() // 1_000_000 - times[-1] < 60_000
    assert hops.names(pack) == hops.names(pack, 0) == [accepted.name, *(one.name for one in later)]


def test_what_is_unknown_has_no_trace(hops: Hops):
    pack = hops.put([b"{}"])
    assert hops.tracer.trace(new_pack_id()) is None
    for step in (lambda: None, hops.process):
        step()
        with pytest.raises(ImpossibleId, match="has 1 events"):
            hops.tracer.trace(pack.pack_id, 1)


def test_what_no_collector_can_have_made_is_told_from_what_may_still_come():
    pack_id = new_pack_id()
    made_ms = accepted_at_ms(pack_id)
    refuse_impossible(pack_id, made_ms - CLOCKS_DIFFER_MS)
    for impossible, says in ((pack_id, "still to come"), (uuid4(), "no UUIDv7")):
        with pytest.raises(ImpossibleId, match=says):
            refuse_impossible(impossible, made_ms - CLOCKS_DIFFER_MS - 1)


def test_a_dead_event_and_a_duplicate_are_told_from_the_others(hops: Hops):
    pack = hops.put([b'{"id":"a"}', b"not json", b'{"id":"a"}'])
    hops.process()
    hops.publish()
    assert hops.names(pack, 0)[-1] == "aggregated"
    dead = hops.stages(pack, 1)[-1]
    assert (dead.name, dead.node) == ("dead", "processor-01")
    assert dead.note.startswith("not_json: ")
    assert hops.names(pack, 2)[-1] == "duplicate"


def test_a_pack_that_cannot_be_read_is_dead_with_its_reason(hops: Hops):
    pack = hops.put([b"{}"])
    hops.queue.ack(hops.queue.claim(1, 60))
    hops.queue.put([replace(pack, body=pack.body[:-1])])
    hops.process()
    stages = hops.stages(pack)
    assert [one.name for one in stages] == ["accepted", "queued", "leased", "dead"]
    assert stages[0].at_ms == pack.pack_id.int >> 80
    assert "checksum" in stages[-1].note


def test_an_event_is_aggregated_once_its_own_window_is_published_with_it(hops: Hops):
    late = b'{"at":%d}' % (NOW_MS - 3_600_000)
    first = hops.put([b"{}", late])
    hops.process()
    hops.publish()
    assert hops.names(first)[-1] == "aggregated"
    second = hops.put([late, b"{}"])
    hops.process()
    assert hops.names(second, 0)[-1] == hops.names(second)[-1] == "stored"
    assert hops.names(first, 1)[-1] == "aggregated"  # though its window has changed since
    hops.publish()
    stage = hops.stages(second, 0)[-1]
    start = iso_time((NOW_MS - 3_600_000) // 60_000 * 60_000)
    assert (stage.name, stage.note) == ("aggregated", f"window {start} generation 2")
    assert hops.stages(first)[-1].note.count("window") == 2


def test_a_redelivery_keeps_the_first_stages(hops: Hops):
    pack = hops.put([b"{}"])
    hops.process()
    before = hops.stages(pack)
    hops.queue.put([pack])
    other = Processor(hops.queue, hops.store, hops.settings, node="processor-02")
    assert other.step() == 1
    assert hops.stages(pack) == before


@pytest.mark.parametrize(
    ("name", "note", "told"),
    [
        ("dead", f"not_json: {SECRET}", "not_json"),
        ("dead", "pack_corrupt", "pack_corrupt"),
        ("dead", f"its value {SECRET} is wrong", ""),
        ("leased", f"attempt 2: ValueError: {SECRET}", "attempt 2"),
    ],
)
def test_a_public_receipt_quotes_nobody(name: str, note: str, told: str):
    trace = Trace(new_pack_id(), None, "/e", 1, (Stage(name, 1, note=note),))
    assert trace.public().stages[0].note == told


# over HTTP


def get(port: int, path: str, method: str = "GET") -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_a_receipt_leads_to_the_stages(new_node: Callable[..., Any], until: Any):
    node = new_node(publish_s=0.05, poll_s=0.01)
    node.start("collector")
    port = node.port("collector")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    body = b'{"name":"%s"}\n{"id":1}\nnull' % SECRET.encode()
    events = b"\n".join(body.splitlines()[:2])
    connection.request("POST", "/v1/events", events, {"Content-Type": "application/x-ndjson"})
    response = connection.getresponse()
    answer = json.loads(response.read())
    receipt = response.getheader("X-Event-Receipt")
    assert receipt == f"{answer['pack']}:{answer['first']}-{answer['first'] + 1}"
    connection.request("POST", "/v1/events", b"null", {"Content-Type": "application/json"})
    response = connection.getresponse()
    response.read()
    assert (response.status, response.getheader("X-Event-Receipt")) == (400, None)
    connection.close()
    pack, _, span = receipt.partition(":")
    last = f"{pack}:{span.partition('-')[2]}"
    status, found = get(port, f"/receipt/{last}")
    assert (status, found["id"], found["state"]) == (200, last, "queued")
    processor = node.start("processor")
    node.start("postprocessor")
    until(lambda: get(port, f"/receipt/{last}")[1]["state"] == "aggregated")
    _, found = get(port, f"/receipt/{pack}")
    assert found["events"] == 2
    assert [(one["stage"], one["node"], one["release"]) for one in found["stages"]] == [
        ("accepted", "node-1", "1.0.1"),
        ("queued", "node-1", "1.0.1"),
        ("leased", "node-1", "1.0.2"),
        ("stored", "node-1", "1.0.2"),
        ("aggregated", "node-1", "1.0.3"),
    ]
    assert SECRET not in json.dumps(found)
    _, page = processor.ask("/metrics")
    for name, events in (("accepted", 2), ("taken", 2), ("stored", 2), ("in_flight", 0)):
        assert f"\nev_ledger_{name}_events {events}\n" in page
    assert "\nev_ledger_lost_events 0\n" in page


def test_what_is_no_receipt_is_refused(new_node: Callable[..., Any], post: Any):
    node = new_node()
    node.start("collector")
    port = node.port("collector")
    pack = post(port, b"{}")[1]["pack"]
    for path, status, code in (
        (f"/receipt/{uuid4()}", 404, "unknown_id"),
        (f"/receipt/{'f' * 12}{str(new_pack_id())[13:]}", 404, "unknown_id"),
        (f"/receipt/{pack}:1", 404, "unknown_id"),
        ("/receipt/", 400, "not_an_id"),
        ("/receipt/x:y", 400, "not_an_id"),
        (f"/receipt/{new_pack_id()}:{'9' * 5000}", 400, "not_an_id"),
    ):
        found = get(port, path)
        assert (found[0], found[1]["error"]["code"]) == (status, code), path
    assert get(port, f"/receipt/{new_pack_id()}", "DELETE")[0] == 405


def test_what_waits_in_the_spool_of_another_node_is_not_called_unknown_for_good(
    new_node: Callable[..., Any],
):
    node = new_node()
    node.start("collector")
    event_id = f"{new_pack_id()}:0"
    status, found = get(node.port("collector"), f"/receipt/{event_id}")
    assert (status, found["id"], found["state"], found["stages"]) == (202, event_id, "unknown", [])
    assert "the spool of the node that accepted it" in found["reason"]
    assert "ask again" in found["next"]


def test_a_collector_takes_events_when_the_store_cannot_be_asked(
    new_node: Callable[..., Any], post: Any
):
    node = new_node()
    (node.root / "data" / "store.sqlite").mkdir(parents=True)
    node.start("collector")
    port = node.port("collector")
    status, answer = post(port, b"{}")
    assert status == 200
    status, found = get(port, f"/receipt/{answer['pack']}")
    assert (status, found["error"]["code"]) == (503, "store_unavailable")
    assert post(port, b"{}")[0] == 200


# the envelope


def test_the_envelope_is_a_cloud_event_with_what_is_known_beside(hops: Hops, reader: Reader):
    agent = "curl/8.5.0"
    pack = hops.put(
        [b'{"id":"a","type":"click","at":"2026-11-24T14:00:00Z"}', b'{"id":7}'],
        sent_at_ms=NOW_MS - 1000,
        user_agent=agent,
        address="192.0.2.7",
        trace=TRACEPARENT,
    )
    hops.process()
    found = reader.envelope(EventId(pack.pack_id, 0))
    columns = reader.enrichment(EventId(pack.pack_id, 0))
    assert found == {
        "specversion": "1.0",
        "id": f"{pack.pack_id}:0",
        "source": "my%20shop",
        "type": "click",
        "time": iso_time(int(str(columns["time_ms"]))),
        "received_at": iso_time(NOW_MS),
        "sent_at": iso_time(NOW_MS - 1000),
        "endpoint": "/v1/events",
        "tenant": "acme",
        "address": "192.0.2.7",
        "user_agent": agent,
        "node": "collector-01",
        "role": "collector",
        "release": "1.0.0",
        "protocol": "json",
        "traceparent": TRACEPARENT,
        "client_id": "a",
        "pack": str(pack.pack_id),
        "index": 0,
    }
    other = reader.envelope(EventId(pack.pack_id, 1))
    assert (other["type"], other["client_id"], other["index"]) == ("event", None, 1)
    assert [one for _, one in reader.enveloped()] == [found, other]
    assert [event.id for event, _ in reader.enveloped()] == [
        EventId(pack.pack_id, 0), EventId(pack.pack_id, 1),
    ]  # fmt: skip
    assert reader.envelope(EventId(pack.pack_id, 2)) == {}
    assert reader.envelope(EventId(new_pack_id(), 0)) == {}


def test_the_documents_have_every_attribute_and_the_versions_of_the_code(
    hops: Hops, reader: Reader
):
    root = Path(__file__).parent.parent.parent
    page = (root / "docs" / "wire-format.md").read_text()
    hops.put([b"{}"])
    hops.process()
    ((_, found),) = reader.enveloped()
    table = page.partition("## The envelope")[2].partition("\n## ")[0]
    named = [cell for row in re.findall(r"^\| (`.*?) \|", table, re.M) for cell in row.split()]
    assert [name.strip("`") for name in named] == list(found)
    versions = {"pack": packing.VERSION, "store": STORE_VERSION, "aggregate": AGGREGATE_VERSION}
    said = ", ".join(f"`{name}` {version}" for name, version in versions.items())
    assert f"Versions: {said}." in page
    roles = yaml.safe_load((root / "evctl.yaml").read_text())["roles"].values()
    reads = {name: read for role in roles for name, read in role["schemas"]["reads"].items()}
    writes = {name: one for role in roles for name, one in role["schemas"]["writes"].items()}
    assert writes == versions
    assert set(reads["pack"]) == set(packing.VERSIONS)
    assert reads["store"] == [STORE_VERSION]


def test_the_time_is_the_devices_own_with_its_clocks_error_taken_out(hops: Hops, reader: Reader):
    """The device is an hour late: the event happened ten seconds before it was sent."""
    sent_ms = NOW_MS - 3_600_000
    pack = hops.put([b'{"at":%d}' % (sent_ms - 10_000)], sent_at_ms=sent_ms)
    hops.process()
    assert reader.envelope(EventId(pack.pack_id, 0))["time"] == iso_time(NOW_MS - 10_000)


def test_the_standards_own_library_takes_the_standards_part(hops: Hops, reader: Reader):
    hops.put([b"{}"], sent_at_ms=10**15)
    hops.process()
    ((_, found),) = reader.enveloped()
    assert found["sent_at"] is None  # a year that no calendar has
    standard = {name: found[name] for name in ("specversion", "id", "source", "type", "time")}
    event = CloudEvent({**standard, "time": datetime.fromisoformat(found["time"])})
    assert event.get_id() == found["id"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found["time"])


def test_a_dead_event_has_an_envelope_too(hops: Hops, reader: Reader):
    pack = hops.put([b"not json", b"{}"])
    hops.process()
    found = reader.envelope(EventId(pack.pack_id, 0))
    assert (found["type"], found["client_id"]) == ("event", None)


# the tools


def tool(data: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "eventstore", "events", *arguments, "--data", data],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_tools_say_where_an_event_is_what_it_is_and_whether_all_is_there(hops: Hops):
    pack = hops.put([b'{"type":"click"}'])
    hops.process()
    data, event_id = hops.settings.data, f"{pack.pack_id}:0"
    done = tool(data, "trace", event_id, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == hops.tracer.trace(pack.pack_id, 0).to_json()  # type: ignore[union-attr]
    assert "processor-01" in tool(data, "trace", event_id).stdout
    shown = json.loads(tool(data, "show", event_id, "--json").stdout)
    assert shown["payload"] == '{"type":"click"}'
    assert (shown["envelope"]["type"], shown["enrichment"]["name"]) == ("click", "click")
    assert '{"type":"click"}' in tool(data, "show", event_id).stdout
    ledger = tool(data, "ledger", "--json")
    found = json.loads(ledger.stdout)
    assert (ledger.returncode, found["balanced"]) == (0, True)
    (line,) = found["minutes"]
    assert (line["endpoint"], line["accepted"], line["stored"]) == ("/v1/events", 1, 1)
    assert "balances" in tool(data, "ledger").stdout


def test_a_loss_is_an_exit_code(hops: Hops):
    hops.put([b"{}"])
    hops.queue.ack(hops.queue.claim(1, 60))
    done = tool(hops.settings.data, "ledger")
    assert done.returncode == 1
    assert "at the processor: 0 of 1 events were stored" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("trace", str(new_pack_id())), 75, "it waits in the spool"),
        (("trace", str(uuid4())), 1, "no event ever had the id"),
        (("show", f"{new_pack_id()}:0"), 1, "is not stored"),
        (("trace", "x"), 2, "no id"),
        (("trace", f"{new_pack_id()}:0-3"), 2, "expected <uuid>:<index>"),
        (("show", str(new_pack_id())), 2, "not an event id"),
        (("ledger", "--minutes", "0"), 2, "expected 1 or more"),
        (("trace", "x", "--settings", "/nonexistent.yaml"), 2, "cannot be read"),
        (("nothing",), 2, "invalid choice"),
    ],
)
def test_what_tools_are_asked_wrongly_is_one_line(
    hops: Hops, arguments: tuple[str, ...], code: int, says: str
):
    done = tool(hops.settings.data, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["trace", "ledger", "show"])
def test_every_tool_has_examples(name: str):
    done = subprocess.run(
        [sys.executable, "-m", "eventstore", "events", name, "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert f"examples:\n  events {name}" in done.stdout
