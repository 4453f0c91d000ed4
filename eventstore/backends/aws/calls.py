"""One way to call AWS: tried again while that helps; errors say what, why and what next."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
)

from eventstore.backends.aws.consumed import METER, with_units
from eventstore.backends.aws.place import Place
from eventstore.backends.aws.retries import Retries
from eventstore.backends.aws.wire import OPERATIONS, Wire
from eventstore.errors import EngineUnavailable

CONNECT_S = 5
READ_S = 15  # longer than a long poll
CONNECTIONS = 32

UNMET = {
    "BucketAlreadyOwnedByYou",
    "ConditionalCheckFailedException",
    "PreconditionFailed",
    "ResourceInUseException",
    "412",
}
MISSING = {"NoSuchKey", "NoSuchLifecycleConfiguration"}
THROTTLED = {
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestTimeout",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "TransactionConflictException",
    "TransactionInProgressException",
    "ConditionalRequestConflict",
}
KEYS = "mend the credentials: the machine's role, or AWS_ACCESS_KEY_ID and its secret"
NEXT = {
    "AccessDenied": "let the role do it: docs/aws/README.md has the actions that each role needs",
    "AccessDeniedException": "let the role do it: docs/aws/README.md has the actions of each role",
    "ExpiredToken": KEYS,
    "ExpiredTokenException": KEYS,
    "InvalidAccessKeyId": KEYS,
    "InvalidClientTokenId": KEYS,
    "InvalidSignatureException": f"{KEYS}; or set this machine's clock",
    "SignatureDoesNotMatch": f"{KEYS}; or set this machine's clock",
    "UnrecognizedClientException": KEYS,
    "RequestExpired": "set this machine's clock",
    "RequestTimeTooSkewed": "set this machine's clock",
    "AWS.SimpleQueueService.NonExistentQueue": "make the queue, or mend name and region in the URL",
    "QueueDoesNotExist": "make the queue, or mend name and region in the URL",
    "ResourceNotFoundException": "make the table, or mend name and region in the URL",
    "NoSuchBucket": "make the bucket, or mend its name in the URL",
    "404": "make it, or mend name and region in the URL",
    "403": "it may be somebody else's, or the role may not: docs/aws/README.md has the actions",
    "AuthorizationHeaderMalformed": "mend region= in the URL",
    "PermanentRedirect": "mend region= in the URL",
    "301": "mend region= in the URL",
}


@cache
def session() -> boto3.session.Session:
    """One for all clients: each new one reads boto3's descriptions of AWS again, for a second."""
    return boto3.session.Session()


class Unmet(Exception):
    """The condition of a write was not met: nothing has changed."""


class Missing(Exception):
    """What was asked for is not there."""


class Calls:
    """The operations of one service at one place, as boto3 names them."""

    def __init__(self, service: str, place: Place, retries: Retries) -> None:
        self.place = place
        self.retries = retries
        self._service = service
        config = Config(
            connect_timeout=CONNECT_S,
            read_timeout=READ_S,
            retries={"total_max_attempts": 1, "mode": "standard"},  # trying again is done here
            max_pool_connections=CONNECTIONS,
            s3={"addressing_style": "path"} if place.endpoint else {},
        )
        self._wire: Wire | None = None
        try:
            self._client: Any = session().client(
                service,  # type: ignore[call-overload]  # a name that is not a literal
                endpoint_url=place.endpoint,
                region_name=place.region,
                config=config,
            )
        except (BotoCoreError, ValueError) as error:
            raise refusal(place, "open", error) from error
        self._client.meta.events.register("before-send", self._note_sent)

    def __call__(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Raises EngineUnavailable, Unmet, Missing."""
        arguments = with_units(operation, arguments)
        for last in self.retries.tries():
            try:
                answer = self._once(operation, arguments)
                METER.note(self._service, operation, arguments, answer)
                return answer
            except ClientError as error:
                code = code_of(error)
                if code in UNMET or _only_unmet(error):
                    METER.note_unmet(self._service, operation, arguments)
                    raise Unmet(code) from error
                if code in MISSING:
                    METER.note_unmet(self._service, operation, arguments)
                    raise Missing(code) from error
                if last or not _passes(error):
                    raise refusal(self.place, operation, error) from error
            except BotoCoreError as error:
                if last or not _passes(error):
                    raise refusal(self.place, operation, error) from error
        raise AssertionError("the last try returns or raises")

    def _once(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if operation not in OPERATIONS:
            answer: dict[str, Any] = getattr(self._client, operation)(**arguments)
            return answer
        if self._wire is None:
            self._wire = Wire(self._client, session().get_credentials())
        return self._wire(operation, arguments)

    def close(self) -> None:
        self._client.close()

    def _note_sent(self, request: Any, **_: Any) -> None:
        METER.sent(self._service, int(request.headers.get("Content-Length", 0)))


def refusal(place: Place, operation: str, error: Exception) -> EngineUnavailable:
    """One line: what could not be done, why, and what to do next."""
    match error:
        case ClientError():
            said = error.response.get("Error", {})
            why = f"{code_of(error)}: {said.get('Message') or 'no more was said'}"
            step = NEXT.get(code_of(error), "docs/aws/README.md says what it expects")
        case NoCredentialsError() | PartialCredentialsError():
            why, step = str(error), KEYS
        case NoRegionError():
            why, step = str(error), "add ?region=<region> to the URL"
        case EndpointConnectionError() | ConnectTimeoutError():
            why, step = str(error), "check region= and endpoint= in the URL, and the network"
        case _:
            why, step = str(error), "check the URL and the network"
    return EngineUnavailable(f"{place.url}: cannot {operation}: {' '.join(why.split())}; {step}")


def code_of(error: ClientError) -> str:
    """The service's own name for what went wrong."""
    return str(error.response.get("Error", {}).get("Code", ""))


def throttled(code: str) -> bool:
    """Whether the service asks to be called less often."""
    return code in THROTTLED


def _passes(error: ClientError | BotoCoreError) -> bool:
    """Whether it may go by itself: throttling, a server's own fault, a broken connection."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return throttled(code_of(error)) or status >= 500 or _only_conflicts(error)
    return isinstance(error, HTTPClientError | ConnectionError)


def _reasons(error: ClientError) -> set[str]:
    """Why a transaction was cancelled."""
    found: list[Mapping[str, Any]] = error.response.get("CancellationReasons", [])  # type: ignore[assignment]
    return {str(one.get("Code")) for one in found} - {"None"}


def _only_unmet(error: ClientError) -> bool:
    return "ConditionalCheckFailed" in _reasons(error)


def _only_conflicts(error: ClientError) -> bool:
    return "TransactionConflict" in _reasons(error)
