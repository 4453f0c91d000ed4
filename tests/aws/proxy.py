"""A proxy between a client and one of AWS's engines: it notes which action each request is, and
makes faults when it is told to."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from tests.aws.faults import Faults, error, halved, late, with_left

WAIT_S = 60
# A POST begins or ends an upload in parts, which is a PUT to IAM.
OBJECT_ACTIONS = {
    "GET": "s3:GetObject",
    "PUT": "s3:PutObject",
    "POST": "s3:PutObject",
    "DELETE": "s3:DeleteObject",
}
DROPPED = {"x-amz-crc32", "expect", "connection", "transfer-encoding", "content-length", "host"}


class Proxy(ThreadingHTTPServer):
    """actions: what IAM calls the requests that it has seen; objects: those with objects in S3, and
    below which prefix these are. faults: what it makes of them."""

    daemon_threads = True

    def __init__(self, endpoint: str, faults: Faults | None = None) -> None:
        self.faults = faults
        self.target = urlsplit(endpoint).netloc
        self.actions: set[str] = set()
        self.objects: set[tuple[str, str]] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no error here."""


@contextlib.contextmanager
def proxied(endpoint: str, faults: Faults | None = None) -> Iterator[Proxy]:
    with Proxy(endpoint, faults) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()


QUERIES = {"2011-01-01": "autoscaling", "2016-11-15": "ec2"}  # by the version that they name


def action_of(method: str, path: str, target: str, body: bytes = b"") -> str:
    """Of a request; target: its header X-Amz-Target; body: where some name their action."""
    if body.startswith(b"Action="):
        asked = dict(parse_qsl(body.decode()))
        return f"{QUERIES[asked['Version']]}:{asked['Action']}"
    service, _, operation = target.partition(".")
    if service == "AmazonSQS":
        return f"sqs:{operation.removesuffix('Batch')}"
    if service.startswith("DynamoDB"):
        return f"dynamodb:{operation}"
    asked = urlsplit(path)
    if asked.path.strip("/").count("/") == 0:
        return "s3:ListBucket"
    if method == "DELETE" and "uploadId=" in asked.query:
        return "s3:AbortMultipartUpload"
    return OBJECT_ACTIONS[method]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def do_POST(self) -> None:
        self._forward()

    do_GET = do_PUT = do_DELETE = do_POST  # noqa: N815 -- names that http.server asks for

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the tests' output is read by people."""

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        action = action_of(self.command, self.path, self.headers.get("X-Amz-Target", ""), body)
        self.server.actions.add(action)
        if action.startswith("s3:") and action != "s3:ListBucket":
            self.server.objects.add((action, self.path.split("/")[2]))
        fault = self.server.faults.of(action) if self.server.faults else ""
        match fault:
            case "error" | "throttled":
                self._fail(action, fault)
            case "error after":
                self._asked(body)
                self._fail(action, fault)
            case "cut":
                self.close_connection = True
            case "cut after":
                self._asked(body)
                self.close_connection = True
            case "silent":
                self._asked(body)
                self.connection.settimeout(WAIT_S)
                with contextlib.suppress(OSError):
                    self.connection.recv(1)  # until the client has gone
                self.close_connection = True
            case "partial":
                now, left = halved(action, body)
                done = json.loads(now).get("Entries", True)  # of one message, half is none
                status, headers, said = self._asked(now) if done else (200, [], b"{}")
                self._answer(status, headers, with_left(action, said, left))
            case "late":
                self._answer(*self._asked(late(body)))
            case _:
                if fault == "twice":
                    self._asked(body)
                self._answer(*self._asked(body))

    def _asked(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        """What the engine answers."""
        headers = {name: one for name, one in self.headers.items() if name.lower() not in DROPPED}
        connection = http.client.HTTPConnection(self.server.target, timeout=WAIT_S)
        try:
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _fail(self, action: str, fault: str) -> None:
        status, kind, body = error(action, fault)
        self._answer(status, [("Content-Type", kind)], body)

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, one in headers:
            if name.lower() not in DROPPED:
                self.send_header(name, one)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
