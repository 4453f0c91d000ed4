"""Whatever is sent to a real collector, on any endpoint: no 5xx, a reason for each refusal, and
what was acknowledged is in the queue.

`make fuzz MINUTES=10` does the same for long; FUZZ_SEED repeats a run.
"""

import http.client
import json
import os
import random
import re
import select
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings

from eventstore import packing
from tests.eventstore.fuzz_requests import ENDPOINTS, Request, raw_requests, requests
from tests.eventstore.senders import JSON
from tests.eventstore.test_spool_process import queue_of

MINUTES = float(os.environ.get("FUZZ_MINUTES", "0"))
EXAMPLES = 2000 if MINUTES else 600
ANSWER_S = 0.05  # one that isn't whole gets none: those that come are looked at
STATUS = re.compile(rb"HTTP/1\.[01] (\d\d\d) ")
LIMITS = {"body_bytes_max": 50_000, "request_events_max": 100, "header_s": 1, "body_s": 1}

pytestmark = pytest.mark.timeout(120 + MINUTES * 60)


@pytest.fixture
def collector(new_node: Callable[..., Any]) -> Iterator[Any]:
    """Its endpoints are all formats; at the end nothing that it acknowledged is missing."""
    endpoints = [{"path": path, "format": name} for name, path in ENDPOINTS.items()]
    node = new_node(endpoints=[*endpoints, {"path": "/good"}], queue_packs_max=10**6, **LIMITS)
    generation = node.start("collector")
    yield node
    answer = posted(node.port("collector"), Request("POST", "/good", JSON, b'{"id":"good"}'))
    assert answer[0] == 200
    page = generation.ask("/metrics")[1]
    assert 'ev_requests_total{code="5' not in page
    assert "Traceback" not in (log := generation.log.read_text()), log[-3000:]
    (acked,) = [line for line in page.splitlines() if line.startswith("ev_events_acked_total ")]
    queue = queue_of(node)
    kept, leases = [], queue.claim(10**6, 60)
    for lease in leases:
        kept += packing.unpack(lease.body).events
    queue.close()
    assert len(kept) == float(acked.split()[1])
    assert b'{"id":"good"}' in kept


def posted(port: int, request: Request) -> tuple[int, str, bytes]:
    """Status, Content-Type and body of the answer; the header as it is, whatever it is."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.putrequest(request.method, request.target, skip_accept_encoding=True)
        for name, value in request.headers.items():
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(request.body)))
        connection.endheaders(request.body)
        response = connection.getresponse()
        return response.status, response.getheader("Content-Type", ""), response.read()
    finally:
        connection.close()


def fuzzed(check: Callable[[Any], None], what: Any) -> None:
    """In rounds, each with a seed that is printed, until the time is over."""
    first = int(os.environ.get("FUZZ_SEED", "0")) or (random.randrange(1, 10**9) if MINUTES else 1)
    until_s = time.monotonic() + MINUTES * 60 / 2  # each of the two tests has half of it
    for number in range(first, first + 10**6):
        print(f"\nFUZZ_SEED={number}", flush=True)
        seed(number)(
            settings(
                max_examples=EXAMPLES,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            )(given(what)(check))
        )()
        if time.monotonic() >= until_s:
            return


def test_requests_of_every_format(collector: Any):
    def check(request: Request) -> None:
        status, content_type, body = posted(collector.port("collector"), request)
        assert status < 500
        assert body or status < 400 or request.method == "HEAD", "a refusal without a reason"
        if body and content_type.startswith("application/json"):
            json.loads(body)

    fuzzed(check, requests())


def test_bytes_that_were_a_request(collector: Any):
    def check(raw: bytes) -> None:
        with socket.create_connection(("127.0.0.1", collector.port("collector"))) as sock:
            received = b""
            try:
                sock.sendall(raw)
                while select.select([sock], [], [], ANSWER_S)[0] and (more := sock.recv(65536)):
                    received += more
                    head, _, body = received.partition(b"\r\n\r\n")
                    if b"Content-Length: %d\r\n" % len(body) in head:
                        break
            except ConnectionError:
                pass
        is_head = raw.lstrip(b"\r\n").startswith(b"HEAD ")
        for status in STATUS.findall(received):  # a close is an answer, too
            assert status < b"500"
            reason = received.partition(b"\r\n\r\n")[2]
            assert reason or status < b"400" or is_head, "a refusal without a reason"

    fuzzed(check, raw_requests())
