"""`evctl aws plan`, `apply` and `destroy` on the local engines: queues, tables and buckets."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from cli.aws.user_data import user_data
from tests.aws.shop import POLICIES, SHOP, Shop, client

TOPIC = "arn:aws:sns:eu-central-1:123456789012:ops"
# What AWS checks beside an operation: tags that are given with it, and who the nodes will be.
IMPLIED = {
    *("sqs:TagQueue", "dynamodb:TagResource", "s3:TagResource", "cloudwatch:TagResource"),
    *("ec2:CreateTags", "ec2:RunInstances", "iam:PassRole", "iam:CreateServiceLinkedRole"),
}


def test_an_environment_is_made_once_changed_and_taken_away_by_what_its_policy_allows(
    shop: Shop, nodes: dict[str, Any], actions: set[str]
):
    parts = {**SHOP, **nodes, "alarms": {"notify": [TOPIC]}}
    shop.write(**parts)
    everything = [
        ("queue", shop.name("packs-dead")),
        ("queue", shop.name("packs")),
        ("table", shop.name("events")),
        ("bucket", shop.name("store")),
        ("template", shop.name("collector")),
        ("group", shop.name("collector")),
        ("alarm", shop.name("packs-age")),
        ("alarm", shop.name("packs-dead")),
        ("alarm", shop.name("events-reads")),
        ("alarm", shop.name("events-writes")),
    ]
    code, planned = shop.evctl("plan")
    assert code == 0
    assert {one["action"] for one in planned["changes"]} == {"create"}
    assert shop.apply() == [("create", *one) for one in everything]
    assert shop.apply() == [("keep", *one) for one in everything]

    nodes["groups"]["collector"].update(instance="c7g.xlarge", max=8, drain_s=600)
    shop.write(
        queues={"packs": {"receives_max": 5}},
        tables={"events": {"provisioned": {"reads": 7, "writes": 9}}},
        buckets={"store": {"expires": {"claims/": 16, "old/": 3}}},
        alarms={"notify": [TOPIC], "queue_age_s": 60},
        **nodes,
    )
    changed = [
        {"receives_max": (20, 5)},
        {
            "billing": ("on demand", "provisioned"),
            "ttl": ("expires_at", None),
            "reads": (None, 7),
            "writes": (None, 9),
        },
        {"expires": ({"claims/": 15}, {"claims/": 16, "old/": 3})},
        {"instance": ("c7g.large", "c7g.xlarge")},
        {"max": (4, 8), "drain_s": (300, 600)},
        {"above": (300, 60)},
    ]
    _, planned = shop.evctl("plan")
    assert [
        {key: (one["before"][key], after) for key, after in one["after"].items()}
        for one in planned["changes"]
        if one["action"] == "change"
    ] == changed
    assert planned["price"]["usd_per_month"] == {"least": 218.31, "most": 857.25}
    shop.apply()
    assert {action for action, _, _ in shop.apply()} == {"keep"}
    _check_launched(shop)

    name = shop.name("collector")
    error = shop.refused("destroy", "--yes")
    assert (error["code"], error["what"]) == ("E6006", f"group {name} holds 2 nodes")
    client("s3").put_object(Bucket=shop.name("store"), Key="windows/1", Body=b"1")
    with_data = [word for one in (name, shop.name("store")) for word in ("--with-data", one)]
    code, said = shop.evctl("destroy", "--yes", *with_data)
    assert [(one["kind"], one["name"]) for one in said["deleted"]] == everything[::-1]
    _, planned = shop.evctl("plan")
    assert {one["action"] for one in planned["changes"]} == {"create"}
    policy = json.loads((POLICIES / "operator.json").read_text())
    allowed = {action for one in policy["Statement"] for action in one["Action"]}
    assert sorted(actions | IMPLIED) == sorted(allowed)


def _check_launched(shop: Shop) -> None:
    """What AWS would launch now: no IMDSv1, and its default version is the newest."""
    ec2 = client("ec2")
    (version,) = ec2.describe_launch_template_versions(
        LaunchTemplateName=shop.name("collector"), Versions=["$Default"]
    )["LaunchTemplateVersions"]
    data = version["LaunchTemplateData"]
    assert data["InstanceType"] == "c7g.xlarge"
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    script = base64.b64decode(data["UserData"]).decode()
    assert script == user_data(shop.name("")[:-1], "collector", "salt.internal", ())
    scaling = client("autoscaling")
    (hook,) = scaling.describe_lifecycle_hooks(AutoScalingGroupName=shop.name("collector"))[
        "LifecycleHooks"
    ]
    assert hook["LifecycleTransition"] == "autoscaling:EC2_INSTANCE_TERMINATING"
    assert hook["HeartbeatTimeout"] == 600


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
