"""One account and region: calls as boto3 names them, and their errors in words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    PartialCredentialsError,
)

from artifacts.errors import EvctlError
from cli.aws.errors import AwsNotAllowed, AwsRefused, AwsUnreachable

CONNECT_S = 5
READ_S = 30
ATTEMPTS_MAX = 5

ABSENT = re.compile(
    r"NoSuch\w*|404|\w*NotFound\w*|[\w.]*NonExistentQueue|QueueDoesNotExist|.*\.NotFound\w*"
)
MEND_KEYS = "mend AWS_PROFILE, or AWS_ACCESS_KEY_ID and its secret"
MEND_CLOCK = "set this machine's clock"
MEND_POLICY = "let this user do it: docs/aws/operator.json and roles.json have the actions"
NOT_ALLOWED = {
    **dict.fromkeys(("RequestTimeTooSkewed", "RequestExpired"), MEND_CLOCK),
    **dict.fromkeys(
        ("InvalidSignatureException", "SignatureDoesNotMatch"), f"{MEND_KEYS}; or {MEND_CLOCK}"
    ),
    **dict.fromkeys(("AuthFailure", "ExpiredToken", "ExpiredTokenException"), MEND_KEYS),
    **dict.fromkeys(("InvalidAccessKeyId", "InvalidClientTokenId"), MEND_KEYS),
    "UnrecognizedClientException": MEND_KEYS,
    **dict.fromkeys(("AccessDenied", "AccessDeniedException"), MEND_POLICY),
    **dict.fromkeys(("UnauthorizedOperation", "AllAccessDisabled", "403"), MEND_POLICY),
}
MEND_REGION = "mend `region` in the file"
REFUSED = dict.fromkeys(("301", "PermanentRedirect", "AuthorizationHeaderMalformed"), MEND_REGION)


@cache
def session() -> boto3.session.Session:
    """One for all clients: each new one reads boto3's descriptions of AWS again, for a second."""
    return boto3.session.Session()


class Absent(Exception):
    """What was asked for isn't there."""


class Account:
    """Credentials by boto3's usual chain; endpoints by AWS_ENDPOINT_URL_<SERVICE>, where set."""

    def __init__(self, region: str) -> None:
        self.region = region
        self._clients: dict[str, Any] = {}

    def id(self, wanted: str | None) -> str:
        """Its twelve digits, and that they are these, if some are wanted. The first call of all:
        any credentials that are good may do it. AwsNotAllowed."""
        found = str(self.call("sts", "get_caller_identity")["Account"])
        if wanted not in (None, found):
            raise AwsNotAllowed(
                f"these credentials are of account {found}",
                why=f"the environment's file says that it is in {wanted}",
                next_step="mend AWS_PROFILE or the credentials; or `account` in the file",
            )
        return found

    def call(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        """Raises Absent, AwsNotAllowed, AwsUnreachable, AwsRefused."""
        with self._asking(service, operation):
            answer: dict[str, Any] = getattr(self._client(service), operation)(**arguments)
            return answer

    def all(self, service: str, operation: str, key: str, **arguments: Any) -> list[Any]:
        """What is under `key` on all pages."""
        return list(self.each(service, operation, key, **arguments))

    def each(self, service: str, operation: str, key: str, **arguments: Any) -> Iterator[Any]:
        """The same, page by page."""
        with self._asking(service, operation):
            pages = self._client(service).get_paginator(operation).paginate(**arguments)
            yield from (one for page in pages for one in page.get(key, ()))

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = session().client(
                service,  # type: ignore[call-overload]  # a name that is not a literal
                region_name=self.region,
                config=Config(
                    connect_timeout=CONNECT_S,
                    read_timeout=READ_S,
                    retries={"total_max_attempts": ATTEMPTS_MAX, "mode": "standard"},
                ),
            )
        return self._clients[service]

    @contextmanager
    def _asking(self, service: str, operation: str) -> Iterator[None]:
        what = f"{service} can't {operation}"
        try:
            yield
        except ClientError as error:
            code = code_of(error)
            if ABSENT.fullmatch(code):
                raise Absent(_said(error)) from error
            raise _refusal(what, code, error) from error
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise AwsNotAllowed(what, why=str(error), next_step=MEND_KEYS) from error
        except (EndpointConnectionError, ConnectTimeoutError) as error:
            raise AwsUnreachable(
                what,
                why=str(error),
                next_step=f"check `region: {self.region}`, AWS_ENDPOINT_URL and the network",
            ) from error
        except (BotoCoreError, ValueError) as error:
            raise AwsUnreachable(
                what,
                why=" ".join(str(error).split()),
                next_step=f"check `region: {self.region}` and the network",
            ) from error


def _refusal(what: str, code: str, error: ClientError) -> EvctlError:
    why = _said(error)
    if code in NOT_ALLOWED:
        return AwsNotAllowed(what, why=why, next_step=NOT_ALLOWED[code])
    mend = REFUSED.get(code, "mend what it names; then evctl aws plan")
    return AwsRefused(what, why=why, next_step=mend)


def _said(error: ClientError) -> str:
    said = error.response.get("Error", {}).get("Message") or "no more was said"
    return f"{code_of(error)}: {' '.join(said.split())}"


def code_of(error: ClientError) -> str:
    """The service's own name for what went wrong."""
    return str(error.response.get("Error", {}).get("Code", ""))


def as_pairs(
    tags: Mapping[str, str], *, key: str = "Key", value: str = "Value"
) -> list[dict[str, str]]:
    """Tags as most services take them."""
    return [{key: name, value: text} for name, text in tags.items()]


def from_pairs(
    pairs: list[dict[str, str]], *, key: str = "Key", value: str = "Value"
) -> dict[str, str]:
    """Tags as most services give them."""
    return {one[key]: one[value] for one in pairs}
