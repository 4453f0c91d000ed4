"""A running collector and processor with every protocol, and a way to them that fails on demand."""

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from eventstore.event import EventId
from eventstore.query.read import Event, Reader, open_reader

PROTOCOLS = (
    "segment",
    "snowplow",
    "otlp_logs",
    "posthog",
    "mixpanel",
    "amplitude",
    "ga4",
    "syslog",
)
HOP_HEADERS = frozenset({"connection", "transfer-encoding", "date", "server"})


@dataclass
class Exchange:
    """One request that reached the collector, and its answer."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    status: int
    answer: bytes


@dataclass
class Proxy:
    """Forwards to the collector. faults: what happens to the next requests, one each: a status is
    answered without the collector knowing; "cut" forwards it and drops the answer."""

    port: int
    faults: list[int | str]
    exchanges: list[Exchange] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def _handler(proxy: Proxy, collector_port: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            spared = self.command == "OPTIONS" or not proxy.faults
            fault = "none" if spared else proxy.faults.pop(0)
            if isinstance(fault, int):
                self._answer(fault, {}, b"{}")
                return
            status, headers, answer = self._forwarded(body)
            if fault == "cut":
                self.close_connection = True
                return
            self._answer(status, headers, answer)

        do_GET = do_OPTIONS = do_POST  # noqa: N815 -- http.server's own names

        def _forwarded(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
            connection = http.client.HTTPConnection("127.0.0.1", collector_port, timeout=30)
            headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP_HEADERS}
            connection.request(self.command, self.path, body, headers)
            response = connection.getresponse()
            answer = response.read()
            connection.close()
            proxy.exchanges.append(
                Exchange(self.command, self.path, headers, body, response.status, answer)
            )
            return response.status, dict(response.getheaders()), answer

        def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in {*HOP_HEADERS, "content-length"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    return Handler


@dataclass
class Store:
    """Where events end up. endpoint of protocol P: /P. before: the events that were there before
    the test."""

    node: Any
    reader: Reader
    until: Callable[..., None]
    before: frozenset[EventId] = frozenset()

    @property
    def port(self) -> int:
        return int(self.node.port("collector"))

    def events(self) -> list[Event]:
        """All visible events of the test, once everything is stored."""
        self.until(lambda: self.reader.pending().packs == 0)
        return [event for event in self.reader.events() if event.id not in self.before]

    def found(self, event: Event) -> dict[str, Any]:
        """What the processor read of an event."""
        return self.reader.enrichment(event.id)

    def request(
        self,
        target: str,
        body: bytes | str | object = b"",
        headers: dict[str, str] | None = None,
        method: str = "POST",
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (lower case) and body; an object is sent as JSON."""
        data = body if isinstance(body, bytes | str) else json.dumps(body)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(
                method, target, data, {"Content-Type": "application/json", **(headers or {})}
            )
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return response.status, found, response.read()
        finally:
            connection.close()


def _endpoints(**more: Any) -> list[dict[str, Any]]:
    return [{"path": f"/{name}", "format": name, **more} for name in PROTOCOLS]


@pytest.fixture
def new_store(new_node: Callable[..., Any], until: Any) -> Iterator[Callable[..., Store]]:
    """A store with an endpoint for each protocol. keys: of each; the rest are settings."""
    readers = []

    def make(
        *, processor: bool = True, endpoint: dict[str, Any] | None = None, **settings: Any
    ) -> Store:
        node = new_node(endpoints=_endpoints(**(endpoint or {})), poll_s=0.01, **settings)
        node.start("collector")
        if processor:
            node.start("processor")
        reader = open_reader(node.data)
        readers.append(reader)
        return Store(node, reader, until)

    yield make
    for reader in readers:
        reader.close()


@pytest.fixture
def store(new_store: Callable[..., Store]) -> Store:
    return new_store()


@pytest.fixture(scope="module")
def shared_node(new_shared_node: Callable[..., Any]) -> Any:
    node = new_shared_node(endpoints=_endpoints(), poll_s=0.01)
    node.start("collector")
    node.start("processor")
    return node


@pytest.fixture
def shared_store(shared_node: Any, until: Any) -> Iterator[Store]:
    """The module's, for tests whose events no other test has sent."""
    reader = open_reader(shared_node.data)
    until(lambda: reader.pending().packs == 0)
    yield Store(shared_node, reader, until, frozenset(event.id for event in reader.events()))
    reader.close()


@pytest.fixture
def new_proxy() -> Iterator[Callable[..., Proxy]]:
    servers = []

    def make(collector_port: int, *faults: int | str) -> Proxy:
        proxy = Proxy(0, list(faults))
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(proxy, collector_port))
        proxy.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        servers.append((server, thread))
        return proxy

    yield make
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join(30)
