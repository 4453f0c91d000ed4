"""`evctl aws plan`, `apply` and `destroy` on the local engines: queues, tables and buckets."""

from __future__ import annotations

import pytest

from tests.aws.shop import SHOP, Shop, client


def test_an_environment_is_made_once_changed_and_taken_away(shop: Shop):
    everything = [
        ("queue", shop.name("packs-dead")),
        ("queue", shop.name("packs")),
        ("table", shop.name("events")),
        ("bucket", shop.name("store")),
    ]
    code, planned = shop.evctl("plan")
    assert code == 0
    assert [one["action"] for one in planned["changes"]] == ["create"] * 4
    assert shop.apply() == [("create", *one) for one in everything]
    assert shop.apply() == [("keep", *one) for one in everything]

    shop.write(
        queues={"packs": {"receives_max": 5}},
        tables={"events": {"provisioned": {"reads": 7, "writes": 9}}},
        buckets={"store": {"expires": {"claims/": 16, "old/": 3}}},
    )
    _, planned = shop.evctl("plan")
    assert {one["name"]: (one["before"], one["after"]) for one in planned["changes"]} == {
        shop.name("packs-dead"): ({}, {}),
        shop.name("packs"): ({"receives_max": 20}, {"receives_max": 5}),
        shop.name("events"): (
            {"billing": "on demand", "ttl": "expires_at", "reads": None, "writes": None},
            {"billing": "provisioned", "ttl": None, "reads": 7, "writes": 9},
        ),
        shop.name("store"): (
            {"expires": {"claims/": 15}},
            {"expires": {"claims/": 16, "old/": 3}},
        ),
    }
    shop.apply()
    assert {action for action, _, _ in shop.apply()} == {"keep"}

    code, said = shop.evctl("destroy", "--yes")
    assert [one["name"] for one in said["deleted"]] == [
        shop.name(one) for one in ("store", "events", "packs", "packs-dead")
    ]
    _, planned = shop.evctl("plan")
    assert {one["action"] for one in planned["changes"]} == {"create"}


def test_what_is_no_longer_in_the_file_is_told_and_left(shop: Shop):
    shop.apply()
    shop.write(tables={}, queues={})
    assert shop.apply() == [
        ("keep", "bucket", shop.name("store")),
        ("extra", "queue", shop.name("packs")),
        ("extra", "queue", shop.name("packs-dead")),
        ("extra", "table", shop.name("events")),
    ]
    assert shop.evctl("destroy", "--yes")[0] == 0
    shop.write()
    _, planned = shop.evctl("plan")
    assert {one["action"] for one in planned["changes"]} == {"create"}


def test_what_holds_data_is_deleted_only_by_name(shop: Shop):
    shop.apply()
    table, bucket, queue = shop.name("events"), shop.name("store"), shop.name("packs")
    client("s3").put_object(Bucket=bucket, Key="windows/1", Body=b"1")
    item = {"pk": {"S": "a"}, "sk": {"S": "b"}}
    client("dynamodb").put_item(TableName=table, Item=item)
    sqs = client("sqs")
    sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName=queue)["QueueUrl"], MessageBody="1")
    named: list[str] = []
    for name, holds in ((bucket, "objects"), (table, "items"), (queue, "1 messages")):
        error = shop.refused("destroy", "--yes", *named)
        assert (error["code"], error["exit"]) == ("E6006", "4")
        assert error["what"].endswith(f"{name} holds {holds}")
        _, planned = shop.evctl("plan")
        assert {one["action"] for one in planned["changes"]} == {"keep"}  # nothing went
        named += ["--with-data", name]
    assert shop.evctl("destroy", "--yes", *named)[0] == 0


def test_a_name_that_is_taken_is_left_alone(shop: Shop, monkeypatch: pytest.MonkeyPatch, moto: str):
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", moto)  # DynamoDB Local has no tags
    makers = {
        "queue": lambda: client("sqs").create_queue(QueueName=shop.name("packs")),
        "table": lambda: client("dynamodb").create_table(
            TableName=shop.name("events"),
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        ),
        "bucket": lambda: client("s3").create_bucket(
            Bucket=shop.name("store"),
            CreateBucketConfiguration={"LocationConstraint": "eu-central-1"},
        ),
    }
    parts = {"queue": "queues", "table": "tables", "bucket": "buckets"}
    for kind, make in makers.items():
        make()
        shop.write(**{part: SHOP[part] if part == parts[kind] else {} for part in parts.values()})
        error = shop.refused()
        assert (error["code"], error["exit"]) == ("E6004", "4")
        assert "evctl-app" in error["why"]
        assert shop.refused("apply", "--yes")["code"] == "E6004"
    shop.write(queues={}, tables={}, buckets={})
    assert shop.evctl("destroy", "--yes")[1]["deleted"] == []


def test_what_can_never_become_what_the_file_says(shop: Shop):
    shop.apply()
    shop.write(tables={"events": {"key": {"id": "S"}}})
    error = shop.refused()
    assert (error["code"], error["exit"]) == ("E6005", "2")
    assert error["why"] == 'it is {"pk": "S", "sk": "S"}; the file says {"id": "S"}'
    shop.write(region="eu-west-1", queues={}, tables={})
    error = shop.refused()
    assert (error["code"], error["why"]) == (
        "E6005",
        "it is eu-central-1; the file says eu-west-1",
    )
