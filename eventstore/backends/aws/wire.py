"""SQS and DynamoDB as they are on the wire: JSON by POST, signed (Signature Version 4).

boto3 makes the client: its region, endpoint, credentials, certificates and connections are used
here, and it reads what a service says when something is wrong. What it does beside that for every
call costs a millisecond of processor time, and much of that again for each value of a batch.
"""

import hashlib
import hmac
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypedDict
from urllib.parse import urlsplit

import msgspec
from botocore.awsrequest import AWSPreparedRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, HTTPClientError, NoCredentialsError
from botocore.parsers import create_parser

from eventstore.backends.aws.consumed import METER

# Those that a role makes all the time; all others are boto3's.
OPERATIONS = {
    "batch_get_item",
    "batch_write_item",
    "change_message_visibility_batch",
    "delete_item",
    "delete_message_batch",
    "get_item",
    "get_queue_attributes",
    "put_item",
    "query",
    "receive_message",
    "send_message_batch",
    "update_item",
}
SESSION = "x-amz-security-token"


class Value(TypedDict, total=False):
    """Of an item of a table: those kinds that ours have."""

    S: str
    N: str
    B: bytes


class TableAnswer(TypedDict, total=False):
    Item: dict[str, Value]
    Items: list[dict[str, Value]]
    Attributes: dict[str, Value]
    Responses: dict[str, list[dict[str, Value]]]
    LastEvaluatedKey: dict[str, Value]
    UnprocessedItems: Any
    UnprocessedKeys: Any
    ConsumedCapacity: Any


class Attribute(TypedDict, total=False):
    """Of a message."""

    DataType: str
    StringValue: str
    BinaryValue: bytes


class Received(TypedDict, total=False):
    MessageId: str
    ReceiptHandle: str
    Body: str
    Attributes: dict[str, str]
    MessageAttributes: dict[str, Attribute]


class QueueAnswer(TypedDict, total=False):
    Messages: list[Received]
    Attributes: dict[str, str]
    Successful: Any
    Failed: Any


# What is read of answers, by service; texts become the bytes that they stand for.
ANSWERS = {"dynamodb": TableAnswer, "sqs": QueueAnswer}


class Wire:
    """Calls of one client's service. credentials: None: there are none."""

    def __init__(self, client: Any, credentials: Credentials | None) -> None:
        self._client = client
        self._credentials = credentials
        self._url: str = client.meta.endpoint_url.rstrip("/") + "/"
        self._parts = urlsplit(self._url)
        self._region: str = client.meta.region_name
        self._service: str = client.meta.service_model.signing_name
        said = client.meta.service_model.metadata
        self._prefix: str = said["targetPrefix"]
        self._type = f"application/x-amz-json-{said['jsonVersion']}"
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(ANSWERS[self._service])
        self._parser = create_parser(client.meta.service_model.resolved_protocol)

    def __call__(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """As boto3's method of this name. Raises ClientError, BotoCoreError."""
        name = self._client.meta.method_to_api_mapping[operation]
        body = msgspec.json.encode(arguments)
        headers = self._headers(f"{self._prefix}.{name}", body, datetime.now(UTC))
        request = AWSPreparedRequest("POST", self._url, headers, body, False)  # type: ignore[arg-type]
        METER.sent(self._service, len(body))
        answer = self._client._endpoint.http_session.send(request)
        content: bytes = answer.content
        if answer.status_code != 200:
            raise self._error(name, answer.status_code, dict(answer.headers), content)
        try:
            said: dict[str, Any] = self._decoder.decode(content)
        except msgspec.DecodeError as error:  # the connection was cut
            raise HTTPClientError(error=error) from error
        said["ResponseMetadata"] = {"HTTPHeaders": {"content-length": str(len(content))}}
        return said

    def _headers(self, target: str, body: bytes, now: datetime) -> dict[str, str]:
        if self._credentials is None:
            raise NoCredentialsError
        known = self._credentials.get_frozen_credentials()
        at = f"{now:%Y%m%dT%H%M%SZ}"
        headers = {
            "content-type": self._type,
            "host": self._parts.netloc,
            "x-amz-date": at,
            "x-amz-target": target,
            "x-amzn-query-mode": "true",  # SQS: its errors have the names that boto3 gives
        }
        if known.token:
            headers[SESSION] = known.token
        headers = dict(sorted(headers.items()))
        names = ";".join(headers)
        lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
        canonical = (
            f"POST\n{self._parts.path}\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
        )
        scope = f"{at[:8]}/{self._region}/{self._service}/aws4_request"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        key = _key(known.secret_key, at[:8], self._region, self._service)
        signature = _mac(key, f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{digest}").hex()
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={known.access_key}/{scope},"
            f" SignedHeaders={names}, Signature={signature}"
        )
        headers["accept-encoding"] = "identity"
        return headers

    def _error(self, name: str, status: int, headers: dict[str, str], body: bytes) -> ClientError:
        shape = self._client.meta.service_model.operation_model(name).output_shape
        said = {"status_code": status, "headers": headers, "body": body, "context": {}}
        return ClientError(self._parser.parse(said, shape), name)


@lru_cache(8)
def _key(secret: str, day: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = _mac(key, part)
    return key


def _mac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
