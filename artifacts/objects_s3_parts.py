"""A large object in S3 in parts, each with its checksum; it is there only once all of them are."""

from __future__ import annotations

from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

# S3 wants 5 MiB of each part but the last, and takes 10,000 of them: 78 GiB.
PART_BYTES = 8 << 20


def put_in_parts(
    s3: S3Client, bucket: str, name: str, body: IO[bytes], condition: dict[str, Any]
) -> str:
    """The ETag. Raises what boto3 raises; then no parts are left, as far as S3 can be told."""
    began = s3.create_multipart_upload(Bucket=bucket, Key=name, ChecksumAlgorithm="CRC32")
    upload = began["UploadId"]
    parts: list[CompletedPartTypeDef] = []
    try:
        while part := body.read(PART_BYTES):  # ends with the body
            number = len(parts) + 1
            answer = s3.upload_part(
                Bucket=bucket,
                Key=name,
                UploadId=upload,
                PartNumber=number,
                Body=part,
                ChecksumAlgorithm="CRC32",
            )
            parts.append(
                {
                    "PartNumber": number,
                    "ETag": answer["ETag"],
                    "ChecksumCRC32": answer["ChecksumCRC32"],
                }
            )
        done = s3.complete_multipart_upload(
            Bucket=bucket, Key=name, UploadId=upload, MultipartUpload={"Parts": parts}, **condition
        )
    except BaseException:
        with suppress(BotoCoreError, ClientError):  # the bucket's lifecycle ends it
            s3.abort_multipart_upload(Bucket=bucket, Key=name, UploadId=upload)
        raise
    return done["ETag"]
