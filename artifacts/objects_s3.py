"""Objects in S3, or in a server that speaks its protocol. Conditional writes by If-Match and
If-None-Match, large ones in parts; credentials by boto3's usual chain."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from artifacts.objects import (
    CHUNK_BYTES,
    Object,
    ObjectConflict,
    ObjectMissing,
    StoreNotAllowed,
    StoreUnreachable,
    check_key,
)
from artifacts.objects_s3_parts import PART_BYTES, put_in_parts

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONNECT_S = 5
READ_S = 15  # without a single byte; a command that only looks must not take minutes to say so
ATTEMPTS_MAX = 3


class S3Objects:
    """Implements objects.ObjectStore."""

    def __init__(
        self, bucket: str, prefix: str, *, endpoint: str | None, region: str | None, url: str
    ) -> None:
        self.url = url
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._s3: S3Client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name=region,
            config=Config(
                connect_timeout=CONNECT_S,
                read_timeout=READ_S,
                retries={"total_max_attempts": ATTEMPTS_MAX, "mode": "standard"},
                s3={"addressing_style": "path"} if endpoint else {},
            ),
        )

    def get(self, key: str) -> Object:
        with self._asking(key):
            answer = self._s3.get_object(Bucket=self._bucket, Key=self._name(key))
            return Object(answer["Body"].read(), answer["ETag"])

    def read(self, key: str, offset: int = 0) -> Iterator[bytes]:
        if offset >= self.size(key):
            return  # S3 has no answer to a range that is empty
        with self._asking(key):
            answer = self._s3.get_object(
                Bucket=self._bucket, Key=self._name(key), Range=f"bytes={offset}-"
            )
            yield from answer["Body"].iter_chunks(CHUNK_BYTES)

    def size(self, key: str) -> int:
        name = self._name(key)
        try:
            with self._asking(key):
                return self._s3.head_object(Bucket=self._bucket, Key=name)["ContentLength"]
        except ObjectMissing:
            # The answer to HEAD has no body, so it doesn't say whether the bucket is missing too.
            with self._asking(key):
                self._s3.list_objects_v2(Bucket=self._bucket, Prefix=name, MaxKeys=1)
            raise

    def put(
        self, key: str, body: bytes | Path, *, if_match: str | None = None, if_absent: bool = False
    ) -> str:
        condition: dict[str, Any] = {}
        if if_match is not None:
            condition["IfMatch"] = if_match
        if if_absent:
            condition["IfNoneMatch"] = "*"
        name = self._name(key)
        try:
            with self._asking(key):
                if isinstance(body, Path):
                    with body.open("rb") as file:
                        return self._put(name, file, body.stat().st_size, condition)
                return self._put(name, BytesIO(body), len(body), condition)
        except ObjectMissing as error:  # what S3 says to If-Match where there is nothing
            raise ObjectConflict(f"{key} has changed", why="it is gone") from error

    def _put(self, name: str, body: IO[bytes], size: int, condition: dict[str, Any]) -> str:
        if size > PART_BYTES:
            return put_in_parts(self._s3, self._bucket, name, body, condition)
        return self._s3.put_object(Bucket=self._bucket, Key=name, Body=body, **condition)["ETag"]

    def list(self, prefix: str) -> list[str]:
        with self._asking(prefix):
            pages = self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix
            )
            found = [item["Key"] for page in pages for item in page.get("Contents", [])]
        return sorted(key.removeprefix(self._prefix) for key in found)

    def _name(self, key: str) -> str:
        return self._prefix + check_key(key)

    @contextmanager
    def _asking(self, key: str) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            raise self._refusal(key, error) from error
        except NoCredentialsError as error:
            raise StoreNotAllowed(
                f"{self.url} needs credentials",
                why=str(error),
                next_step="set AWS_ACCESS_KEY_ID and its secret, or give the machine a role",
            ) from error
        except BotoCoreError as error:
            raise StoreUnreachable(
                f"{self.url} doesn't answer",
                why=str(error),
                next_step="check the endpoint and the network; rollbacks work without the registry",
            ) from error

    def _refusal(self, key: str, error: ClientError) -> Exception:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = error.response.get("Error", {}).get("Code", "")
        if code == "NoSuchBucket":
            return StoreUnreachable(
                f"{self.url} has no such bucket",
                why=str(error),
                next_step="create it, or mend the URL",
            )
        if status == 404:
            return ObjectMissing(f"{key} is not in {self.url}")
        if status in (409, 412):
            return ObjectConflict(f"{key} has changed, or exists already", why=code)
        if status in (401, 403):
            return StoreNotAllowed(
                f"{self.url} refuses", why=str(error), next_step="check the credentials' policy"
            )
        return StoreUnreachable(
            f"{self.url} answers with an error", why=str(error), next_step="try again"
        )
