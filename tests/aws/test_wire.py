"""What roles call all the time goes over a wire of our own: signed as boto3 signs it, and what goes
wrong is told as boto3 tells it."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from eventstore.backends.aws import calls
from eventstore.backends.aws.calls import Calls, Unmet
from eventstore.backends.aws.place import Place
from eventstore.backends.aws.retries import Retries
from eventstore.backends.aws.wire import Wire
from eventstore.errors import EngineUnavailable
from tests.aws.conftest import REGION

NOW = datetime(2026, 11, 27, 1, 2, 3, tzinfo=UTC)


@pytest.mark.parametrize("service", ["sqs", "dynamodb"])
@pytest.mark.parametrize("token", [None, "a session's token"])
@pytest.mark.parametrize("endpoint", [None, "http://127.0.0.1:9324", "https://proxy.example/aws"])
@pytest.mark.parametrize("body", [b"", bytes(range(256))])
def test_it_signs_as_boto3_does(
    service: str,
    token: str | None,
    endpoint: str | None,
    body: bytes,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: NOW)
    credentials = Credentials("AKID", "a secret", token)
    client: Any = calls.session().client(  # type: ignore[call-overload]
        service, region_name=REGION, endpoint_url=endpoint
    )
    ours = Wire(client, credentials)._headers("Target.Operation", body, NOW)
    url = client.meta.endpoint_url.rstrip("/") + "/"
    request = AWSRequest("POST", url, data=body)
    for name in ("content-type", "x-amz-target", "x-amzn-query-mode"):
        request.headers[name] = ours[name]
    SigV4Auth(credentials, service, REGION).add_auth(request)
    assert ours["authorization"] == request.headers["Authorization"]
    assert ours["x-amz-date"] == request.headers["X-Amz-Date"]


@contextmanager
def answering(status: int, body: bytes, length: int | None = None) -> Iterator[str]:
    """A server that says this to whatever it is asked."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) if length is None else length))
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the tests' output is read by people."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def opened(endpoint: str) -> Calls:
    place = Place.of(f"dynamodb://events?region={REGION}&endpoint={endpoint}", "dynamodb")
    return Calls("dynamodb", place, Retries(0, random=Random(1)))


def test_bytes_come_back_as_bytes():
    body = b'{"Item": {"pk": {"S": "a"}, "blob": {"B": "AP8="}, "n": {"N": "1"}}, "More": {}}'
    with answering(200, body) as endpoint:
        assert opened(endpoint)("get_item", TableName="events", Key={"pk": {"B": b"x"}}) == {
            "Item": {"pk": {"S": "a"}, "blob": {"B": bytes([0, 255])}, "n": {"N": "1"}},
            "ResponseMetadata": {"HTTPHeaders": {"content-length": str(len(body))}},
        }


def test_what_a_service_refuses_is_told():
    unmet = b'{"__type": "com.amazonaws#ConditionalCheckFailedException", "message": "no"}'
    with answering(400, unmet) as endpoint, pytest.raises(Unmet):
        opened(endpoint)("put_item", TableName="events", Item={})
    denied = b'{"__type": "com.amazon#AccessDeniedException", "Message": "you may not"}'
    with (
        answering(400, denied) as endpoint,
        pytest.raises(EngineUnavailable, match="AccessDeniedException: you may not; let the role"),
    ):
        opened(endpoint)("put_item", TableName="events", Item={})


@pytest.mark.parametrize("body", [b"", b'{"Item": {"pk": {"S": "a', b"<html>"])
def test_an_answer_that_is_cut_is_no_answer(body: bytes):
    with (
        answering(200, body, 100) as endpoint,
        pytest.raises(EngineUnavailable, match="cannot get_item"),
    ):
        opened(endpoint)("get_item", TableName="events", Key={})
