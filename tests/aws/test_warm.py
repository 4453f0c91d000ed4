"""What `events create` asks of DynamoDB for a table that takes much at once.

DynamoDB Local has no warm throughput, so botocore's stub stands in for it here: it compares each
request with what is expected, and checks it against AWS's own description.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from botocore.stub import Stubber

from eventstore.backends.aws import calls
from eventstore.backends.aws.create import create_table
from eventstore.backends.aws.place import Place
from eventstore.backends.aws.retries import Retries
from eventstore.tools.dispatch import run_tool
from tests.aws.conftest import REGION


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    client = calls.session().client("dynamodb", region_name=REGION)

    class StubbedSession:
        def client(self, service: str, **_: Any) -> Any:
            assert service == "dynamodb"
            return client

    monkeypatch.setattr(calls, "session", StubbedSession)
    with Stubber(client) as made:
        yield made
        made.assert_no_pending_responses()


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, None),
        ({"warm_writes": 4_000, "warm_reads": 12_000}, None),  # any new table has these
        ({"warm_writes": 20_000}, {"WriteUnitsPerSecond": 20_000, "ReadUnitsPerSecond": 12_000}),
        ({"warm_reads": 20_000}, {"WriteUnitsPerSecond": 4_000, "ReadUnitsPerSecond": 20_000}),
    ],
)
def test_a_table_is_made_as_warm_as_it_was_asked_for(
    stub: Stubber, asked: dict[str, int], expected: dict[str, int] | None
):
    table = {"TableName": "events"}
    keys = [("pk", "HASH"), ("sk", "RANGE")]
    request: dict[str, Any] = {
        **table,
        "KeySchema": [{"AttributeName": name, "KeyType": kind} for name, kind in keys],
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name, _ in keys],
        "BillingMode": "PAY_PER_REQUEST",
    }
    if expected:
        request["WarmThroughput"] = expected
    stub.add_response("create_table", {}, request)
    stub.add_response("describe_table", {"Table": {"TableStatus": "ACTIVE"}}, table)
    enabled = {"TimeToLiveDescription": {"TimeToLiveStatus": "ENABLED"}}
    stub.add_response("describe_time_to_live", enabled, table)
    place = Place.of(f"dynamodb://events?region={REGION}", "dynamodb")
    create_table(place, Retries(1, random=Random(1)), **asked)


def test_what_nobody_can_have_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    settings = tmp_path / "settings.yaml"
    settings.write_text(f"store: dynamodb://events?region={REGION}\n")
    assert run_tool(["create", "--settings", str(settings), "--warm-writes", "-1"]) == 2
    assert "--warm-writes -1: expected 0 to 1000000" in capsys.readouterr().err
