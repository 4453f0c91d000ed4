"""The real client libraries: what they send is stored byte for byte, once, also when they retry.

Each meets a request whose answer is lost after the collector took it, and one that is answered 503;
what happens then is their own doing.
"""

import gzip
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import posthog
import pytest
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from segment.analytics.client import Client as Segment
from snowplow_tracker import Emitter, PagePing, PageView, StructuredEvent, Subject, Tracker

FAULTS = ("cut", 503)
WHITE_SPACE = " \t\r\n,"


@pytest.fixture
def store(shared_store: Any) -> Any:
    return shared_store


def elements(body: bytes, key: str) -> list[bytes]:
    """The texts of an array's elements in a JSON object, found without any of the store's code."""
    text = body.decode()
    at = text.index(f'"{key}": [') + len(key) + 5
    found, decoder = [], json.JSONDecoder()
    while True:
        while text[at] in WHITE_SPACE:
            at += 1
        if text[at] == "]":
            return found
        _, end = decoder.raw_decode(text, at)
        found.append(text[at:end].encode())
        at = end


def assert_stored_once(store: Any, expected: list[bytes]) -> dict[str, Any]:
    """Name → what the processor found out about the event."""
    events = store.events()
    assert Counter(event.body for event in events) == Counter(expected)
    assert list(store.reader.dead_letters()) == []
    found = [store.found(event) for event in events]
    return {one["name"]: one for one in found}


def assert_retried(proxy: Any, times: int) -> None:
    """All faults were met, and what came through was taken."""
    assert proxy.faults == []
    assert [exchange.status for exchange in proxy.exchanges] == [200] * times


def test_segment(store: Any, new_proxy: Callable[..., Any]):
    proxy = new_proxy(store.port, *FAULTS)
    failed: list[Any] = []
    client = Segment(
        "wk", host=f"{proxy.url}/segment", on_error=lambda *why: failed.append(why), gzip=True
    )
    client.identify("u-1", {"plan": "pro"})
    client.track("u-1", "Signed Up", {"n": 1}, context={"page": {"url": "https://a.example/ü"}})
    client.page("u-1", "docs", "home", {"url": "https://a.example"})
    client.screen("u-1", "docs", "home")
    client.group("u-1", "g-1")
    client.alias("u-0", "u-1")
    client.flush()
    client.join()
    assert failed == []
    assert_retried(proxy, 2)
    sent = elements(gzip.decompress(proxy.exchanges[0].body), "batch")
    assert len(sent) == 6
    found = assert_stored_once(store, sent)
    assert set(found) == {"identify", "Signed Up", "page", "screen", "group", "alias"}


def test_segment_a_wrong_key_is_its_own_kind_of_error(new_store: Callable[..., Any]):
    store = new_store(processor=False, endpoint={"keys": ["right"]})
    failed: list[Any] = []
    client = Segment(
        "wrong",
        host=f"http://127.0.0.1:{store.port}/segment",
        on_error=lambda error, _batch: failed.append(error),
    )
    client.track("u", "e")
    client.flush()
    client.join()
    assert [(one.status, one.code) for one in failed] == [(401, "wrong_key")]
    right = Segment("right", host=f"http://127.0.0.1:{store.port}/segment", sync_mode=True)
    right.track("u", "e")
    assert store.reader.pending().packs == 1


@pytest.mark.parametrize("method", ["post", "get"])
def test_snowplow(method: Any, store: Any, new_proxy: Callable[..., Any], until: Any):
    proxy = new_proxy(store.port, *FAULTS)
    done: list[Any] = []
    emitter = Emitter(
        f"127.0.0.1:{proxy.port}/snowplow",
        protocol="http",
        method=method,
        batch_size=3 if method == "post" else 1,
        on_success=done.extend,
    )
    tracker = Tracker("shop", emitter, subject=Subject().set_user_id("u-1"))
    events = (
        PageView("https://a.example/?q=1", "home"),
        StructuredEvent("cart", "add", value=2),
        PagePing("https://a.example/?q=1", "home"),
    )
    for number, event in enumerate(events, 1):
        tracker.track(event)
        if method == "get":  # of several that fail at once it sends only the last again
            until(lambda: len({one["eid"] for one in done}) == number)  # noqa: B023
    until(lambda: len({one["eid"] for one in done}) == 3)
    assert proxy.faults == []
    firsts: dict[str, bytes] = {}
    for exchange in proxy.exchanges:
        if method == "post":
            for element in elements(exchange.body, "data"):
                firsts.setdefault(json.loads(element)["eid"], element)
        else:
            query = exchange.target.partition("?")[2]
            event_id = dict(pair.split("=") for pair in query.split("&"))["eid"]
            firsts.setdefault(event_id, query.encode())
    found = assert_stored_once(store, list(firsts.values()))
    assert set(found) == {"page_view", "struct", "page_ping"}


def test_otlp_logs(store: Any, new_proxy: Callable[..., Any]):
    proxy = new_proxy(store.port, *FAULTS)
    exporter = OTLPLogExporter(
        endpoint=f"{proxy.url}/otlp_logs/v1/logs", compression=Compression.Gzip, timeout=20
    )
    provider = LoggerProvider(
        resource=Resource({"service.name": "shop", "user_agent.original": "curl/8.5.0"})
    )
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    for name in ("shop.cart", "shop.pay"):
        for _ in range(3):
            provider.get_logger(name).emit(
                body={"paid": True, "ü": [1, 2.5, b"\x00"]},
                event_name=name,
                severity_text="INFO",
                severity_number=SeverityNumber.INFO,
                attributes={"session.id": "s-1"},
            )
    provider.force_flush()
    provider.shutdown()
    assert_retried(proxy, 2)
    request = ExportLogsServiceRequest.FromString(gzip.decompress(proxy.exchanges[0].body))
    sent = [
        record.SerializeToString()
        for logs in request.resource_logs
        for scope in logs.scope_logs
        for record in scope.log_records
    ]
    assert len(sent) == 6
    found = assert_stored_once(store, sent)
    assert set(found) == {"shop.cart", "shop.pay"}
    assert found["shop.pay"]["browser"] == "curl 8"


def test_posthog(store: Any, new_proxy: Callable[..., Any]):
    proxy = new_proxy(store.port, *FAULTS)
    failed: list[Any] = []
    client = posthog.Posthog(
        "phc_1",
        host=f"{proxy.url}/posthog",
        gzip=True,
        flush_at=3,
        on_error=lambda *why: failed.append(why),
    )
    client.capture("signed_up", distinct_id="u-1", properties={"$current_url": "https://a.example"})
    client.set(distinct_id="u-1", properties={"plan": "pro"})
    client.alias("u-0", "u-1")
    client.flush()
    client.shutdown()
    assert failed == []
    assert_retried(proxy, 2)
    sent = elements(gzip.decompress(proxy.exchanges[0].body), "batch")
    assert len(sent) == 3
    assert set(assert_stored_once(store, sent)) == {"signed_up", "$set", "$create_alias"}


def test_posthog_capture_v1(store: Any, new_proxy: Callable[..., Any]):
    proxy = new_proxy(store.port, *FAULTS)
    failed: list[Any] = []
    client = posthog.Posthog(
        "phc_1",
        host=f"{proxy.url}/posthog",
        capture_mode="v1",
        on_error=lambda *why: failed.append(why),
    )
    client.capture("signed_up", distinct_id="u-1")
    client.flush()
    client.shutdown()
    assert failed == []
    assert_retried(proxy, 2)
    assert set(assert_stored_once(store, elements(proxy.exchanges[0].body, "batch"))) == {
        "signed_up"
    }


def test_overload_is_sent_again_by_each(
    new_store: Callable[..., Any], new_proxy: Callable[..., Any], until: Any
):
    """A queue that is full until its processor starts: the clients wait, and lose nothing."""
    store = new_store(processor=False, queue_packs_max=1)
    assert store.request("/ga4/mp/collect", {"client_id": "c", "events": [{"name": "a"}]})[0] == 204
    proxy = new_proxy(store.port)
    segment = Segment("wk", host=f"{proxy.url}/segment")
    client = posthog.Posthog("phc_1", host=f"{proxy.url}/posthog", flush_at=1)
    emitter = Emitter(f"127.0.0.1:{proxy.port}/snowplow", protocol="http", batch_size=1)
    tracker = Tracker("shop", emitter)
    exporter = OTLPLogExporter(endpoint=f"{proxy.url}/otlp_logs/v1/logs", timeout=60)
    provider = LoggerProvider()
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter, schedule_delay_millis=1))

    segment.track("u", "from segment")
    client.capture("from posthog", distinct_id="u")
    tracker.track(PageView("https://a.example"))
    provider.get_logger("x").emit(event_name="from otlp")

    def refused() -> set[str]:
        return {
            exchange.target.split("/")[1]
            for exchange in proxy.exchanges
            if exchange.status in (429, 503)
        }

    until(lambda: refused() == {"segment", "posthog", "snowplow", "otlp_logs"})
    store.node.start("processor")
    names = ["a", "from otlp", "from posthog", "from segment", "page_view"]
    # They double their pauses: the longest of them is half a minute.
    until(lambda: sorted(store.found(one)["name"] for one in store.events()) == names, 60)
    provider.shutdown()
    segment.join()
    client.shutdown()
