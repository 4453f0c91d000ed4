"""Makes what the URLs name, where it is not there yet. For whoever may: no role of ours does."""

import json
from typing import Any

from eventstore.backends.aws.calls import Calls
from eventstore.backends.aws.place import Place
from eventstore.backends.aws.retries import Retries

KEPT_S = 14 * 86_400  # the longest that SQS keeps a message
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


def create_bucket(place: Place, retries: Retries) -> None:
    """The bucket; its owner says what lifecycle its objects have."""
    calls = Calls("s3", place, retries)
    where: dict[str, Any] = {}
    if place.region not in (None, "us-east-1"):
        where = {"CreateBucketConfiguration": {"LocationConstraint": place.region}}
    calls("create_bucket", Bucket=place.name, **where)
    calls.close()
