"""The engines under test are the real thing, on the loopback only."""

import pytest
from botocore.exceptions import ClientError

from eventstore.backends.aws.calls import session
from tests.aws.conftest import REGION


def test_sqs_refuses_what_aws_refuses(sqs: str):
    client = session().client("sqs", endpoint_url=sqs, region_name=REGION)
    url = client.create_queue(QueueName="limits")["QueueUrl"]
    client.send_message(QueueUrl=url, MessageBody="x" * (1 << 20))
    with pytest.raises(ClientError):
        client.send_message(QueueUrl=url, MessageBody="x" * ((1 << 20) + 1))
    with pytest.raises(ClientError):
        client.send_message(QueueUrl=url, MessageBody="\x00")


def test_dynamodb_refuses_what_aws_refuses(dynamodb: str):
    client = session().client("dynamodb", endpoint_url=dynamodb, region_name=REGION)
    client.create_table(
        TableName="limits",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    with pytest.raises(ClientError, match="size"):
        client.put_item(TableName="limits", Item={"pk": {"S": "a"}, "b": {"B": b"x" * 409_700}})


def test_s3_writes_once_when_asked_to(s3: str):
    client = session().client("s3", endpoint_url=s3, region_name=REGION)
    client.create_bucket(Bucket="once", CreateBucketConfiguration={"LocationConstraint": REGION})
    client.put_object(Bucket="once", Key="k", Body=b"1", IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        client.put_object(Bucket="once", Key="k", Body=b"2", IfNoneMatch="*")
