"""What is wrong with an engine's URL or place is said at start, in one line, and nothing serves."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eventstore import engines, settings
from eventstore.backends.aws.calls import session
from eventstore.errors import EngineUnavailable, SettingsError
from eventstore.roles import main
from tests.aws.conftest import REGION

OPEN: dict[str, Callable[[settings.Settings], object]] = {
    "queue": engines.open_queue,
    "store": engines.open_store,
    "aggregates": engines.open_aggregates,
}
SCHEMES = {"queue": "sqs", "store": "dynamodb", "aggregates": "s3"}


def refusal(kind: str, query: str) -> str:
    """What opening says; commit_s bounds its tries."""
    url = f"{SCHEMES[kind]}://not-there{query}"
    options = settings.from_dict({kind: url, "commit_s": 0.05})
    with pytest.raises(EngineUnavailable) as told:
        OPEN[kind](options)
    said = str(told.value)
    assert said.startswith(f"{url}: cannot ")
    assert "\n" not in said
    return said


@pytest.mark.parametrize(
    ("kind", "next_step"),
    [
        ("queue", "make the queue, or mend name and region in the URL"),
        ("store", "make the table, or mend name and region in the URL"),
        ("aggregates", "make the bucket, or mend its name in the URL"),
    ],
)
def test_what_is_missing_there(kind: str, next_step: str, request: pytest.FixtureRequest):
    engine = {"queue": "sqs", "store": "dynamodb", "aggregates": "s3"}[kind]
    endpoint = request.getfixturevalue(engine)
    assert refusal(kind, f"?region={REGION}&endpoint={endpoint}").endswith(next_step)


@pytest.mark.parametrize("kind", OPEN)
def test_an_endpoint_that_does_not_resolve(kind: str):
    said = refusal(kind, f"?region={REGION}&endpoint=http://nowhere.invalid:1")
    assert "nowhere.invalid" in said
    assert said.endswith("check region= and endpoint= in the URL, and the network")


@pytest.mark.parametrize("kind", OPEN)
def test_an_endpoint_where_nobody_listens(kind: str):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # taken, and not listening
        port = sock.getsockname()[1]
        said = refusal(kind, f"?region={REGION}&endpoint=http://127.0.0.1:{port}")
    assert said.endswith("check region= and endpoint= in the URL, and the network")


@pytest.mark.parametrize("kind", ["queue", "store"])
def test_no_region(kind: str):
    said = refusal(kind, "?endpoint=http://127.0.0.1:1")
    assert said.endswith("add ?region=<region> to the URL")


@pytest.mark.parametrize("kind", OPEN)
def test_no_credentials(kind: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    session.cache_clear()
    try:
        said = refusal(kind, f"?region={REGION}&endpoint=http://127.0.0.1:1")
    finally:
        session.cache_clear()
    assert "AWS_ACCESS_KEY_ID" in said


@pytest.mark.parametrize(
    ("kind", "code", "status", "next_step"),
    [
        ("queue", "InvalidClientTokenId", 403, "mend the credentials"),
        ("queue", "AccessDenied", 403, "docs/aws/README.md"),
        ("queue", "RequestExpired", 403, "set this machine's clock"),
        ("store", "UnrecognizedClientException", 400, "mend the credentials"),
        ("store", "AccessDeniedException", 400, "docs/aws/README.md"),
        ("store", "InvalidSignatureException", 400, "set this machine's clock"),
        ("aggregates", "InvalidAccessKeyId", 403, "mend the credentials"),
        ("aggregates", "SignatureDoesNotMatch", 403, "mend the credentials"),
        ("aggregates", "AccessDenied", 403, "docs/aws/README.md"),
        ("aggregates", "AuthorizationHeaderMalformed", 400, "mend region= in the URL"),
        ("aggregates", "RequestTimeTooSkewed", 403, "set this machine's clock"),
    ],
)
def test_what_aws_refuses(
    kind: str, code: str, status: int, next_step: str, refusing: Callable[[str, int], str]
):
    said = refusal(kind, f"?region={REGION}&endpoint={refusing(code, status)}")
    assert code in said
    assert next_step in said.partition("; ")[2]


@pytest.mark.parametrize("role", ["collector", "processor", "postprocessor"])
def test_a_role_does_not_start_and_says_why(
    role: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    document: dict[str, Any] = {"data": f"file://{tmp_path}", "commit_s": 0.05, "listen_port": 0}
    where = f"?region={REGION}&endpoint=http://127.0.0.1:1"
    key = "aggregates" if role == "postprocessor" else "queue"
    document[key] = f"{SCHEMES[key]}://packs{where}"
    file = tmp_path / "settings.yaml"
    file.write_text(json.dumps(document))
    assert main([role, "--settings", str(file)]) == 1
    (line,) = [one for one in caplog.messages if "cannot start" in one]
    assert line.startswith(f"{role} cannot start: {document[key]}: cannot ")


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"queue": "redis://packs"}, "queue: 'redis://packs': expected sqs://<name>"),
        ({"claims": "file:///tmp"}, "claims: 'file:///tmp': expected s3://<name>"),
        ({"store": "dynamodb://events?ttl_days=0"}, "ttl_days=0: expected 1 to"),
        ({"store": "dynamodb://events?ttl=1"}, "ttl=1: expected values for"),
    ],
)
def test_settings_that_are_wrong(document: dict[str, str], says: str):
    with pytest.raises(SettingsError) as told:
        engines.open_store(settings.from_dict(document))
    assert says in str(told.value)


def test_a_release_without_boto3_says_what_to_do(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "boto3", None)
    for name in ("calls", "bucket", "queue", "entries"):
        monkeypatch.delitem(sys.modules, f"eventstore.backends.aws.{name}", raising=False)
    options = settings.from_dict({"queue": "sqs://packs"})
    with pytest.raises(SettingsError, match=r"needs boto3.*requirements/eventstore-aws\.lock"):
        engines.open_queue(options)
