"""Makes what the URLs name, where it is not there yet. For whoever may: no role of ours does."""

import json
from contextlib import suppress
from typing import Any

from eventstore.backends.aws.calls import Calls, Missing, Unmet
from eventstore.backends.aws.place import Place
from eventstore.backends.aws.retries import Retries
from eventstore.backends.aws.table import EXPIRES, KEYS
from eventstore.errors import EngineUnavailable, SettingsError

KEPT_S = 14 * 86_400  # the longest that SQS keeps a message
PARTS_DAYS = 2  # of an upload that nobody has completed
WARM_WRITES, WARM_READS = 4_000, 12_000  # of a new table, and the least that AWS takes
RECEIVES_MAX = 20  # more than a processor's own attempts_max: it is what they can't bury


def create_queue(place: Place, retries: Retries) -> None:
    """The queue, and <name>-dead, to which SQS moves what nobody can take."""
    calls = Calls("sqs", place, retries)
    kept = {"MessageRetentionPeriod": str(KEPT_S)}
    dead = calls("create_queue", QueueName=f"{place.name}-dead", Attributes=kept)["QueueUrl"]
    arn = calls("get_queue_attributes", QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]
    redrive = {"deadLetterTargetArn": arn["QueueArn"], "maxReceiveCount": RECEIVES_MAX}
    calls(
        "create_queue",
        QueueName=place.name,
        Attributes={**kept, "RedrivePolicy": json.dumps(redrive)},
    )
    calls.close()


def create_table(
    place: Place, retries: Retries, *, warm_writes: int = 0, warm_reads: int = 0
) -> None:
    """The table, on demand, and its TTL; returns when it can be used. warm_writes, warm_reads: how
    many units a second it takes at once, where that is more than what AWS gives to any."""
    calls = Calls("dynamodb", place, retries)
    warm: dict[str, Any] = {}
    if warm_writes > WARM_WRITES or warm_reads > WARM_READS:
        units = {
            "WriteUnitsPerSecond": max(warm_writes, WARM_WRITES),
            "ReadUnitsPerSecond": max(warm_reads, WARM_READS),
        }
        warm = {"WarmThroughput": units}
    with suppress(Unmet):  # it is there
        calls(
            "create_table",
            TableName=place.name,
            KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in KEYS.items()],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in KEYS],
            BillingMode="PAY_PER_REQUEST",
            **warm,
        )
    for last in calls.retries.tries():
        if calls("describe_table", TableName=place.name)["Table"]["TableStatus"] == "ACTIVE":
            break
        if last:
            raise EngineUnavailable(f"{place.url}: the table is still being made; try again")
    answer = calls("describe_time_to_live", TableName=place.name)["TimeToLiveDescription"]
    if answer["TimeToLiveStatus"] == "DISABLED":
        expiry = {"Enabled": True, "AttributeName": EXPIRES}
        calls("update_time_to_live", TableName=place.name, TimeToLiveSpecification=expiry)
    calls.close()


def create_bucket(place: Place, retries: Retries, *, expires_days: int | None = None) -> None:
    """The bucket, and in its lifecycle a rule for what is below the place's path: parts that nobody
    has completed go, and after expires_days everything does. Other rules stay as they are."""
    if expires_days is not None and not place.path:
        raise SettingsError(f"{place.url}: what is there expires: add a path of its own to the URL")
    calls = Calls("s3", place, retries)
    where: dict[str, Any] = {}
    if place.region not in (None, "us-east-1"):
        where = {"CreateBucketConfiguration": {"LocationConstraint": place.region}}
    with suppress(Unmet):  # it is ours already
        calls("create_bucket", Bucket=place.name, **where)
    try:
        answer = calls("get_bucket_lifecycle_configuration", Bucket=place.name)
        rules: list[dict[str, Any]] = answer["Rules"]
    except Missing:
        rules = []
    ours = _rule(place.path, expires_days)
    if ours not in rules:
        others = [one for one in rules if one.get("ID") != ours["ID"]]
        calls(
            "put_bucket_lifecycle_configuration",
            Bucket=place.name,
            LifecycleConfiguration={"Rules": [*others, ours]},
        )
    calls.close()


def _rule(path: str, expires_days: int | None) -> dict[str, Any]:
    prefix = f"{path}/" if path else ""
    rule: dict[str, Any] = {
        "ID": f"evctl {prefix}",
        "Status": "Enabled",
        "Filter": {"Prefix": prefix},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": PARTS_DAYS},
    }
    return rule if expires_days is None else rule | {"Expiration": {"Days": expires_days}}
