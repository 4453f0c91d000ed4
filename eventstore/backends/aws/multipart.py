"""A large object in parts, each with its checksum; there for readers only once all of them are."""

from contextlib import suppress
from typing import Any

from eventstore.backends.aws.calls import Calls
from eventstore.errors import EngineUnavailable

# S3 wants 5 MiB of each part but the last, and takes 10,000 of them; neither is near.
PART_BYTES = 8 << 20
CHECKSUM = "ChecksumCRC32"


def put_in_parts(calls: Calls, at: dict[str, str], body: bytes, condition: dict[str, str]) -> None:
    """Raises what calls raise; then no parts are left, as far as S3 can be told."""
    upload = calls("create_multipart_upload", **at, ChecksumAlgorithm="CRC32")["UploadId"]
    try:
        parts = [
            _put_part(calls, at, upload, number, body[start : start + PART_BYTES])
            for number, start in enumerate(range(0, len(body), PART_BYTES), start=1)
        ]
        calls(
            "complete_multipart_upload",
            **at,
            UploadId=upload,
            MultipartUpload={"Parts": parts},
            **condition,
        )
    except BaseException:
        with suppress(EngineUnavailable):  # the bucket's lifecycle ends it
            calls("abort_multipart_upload", **at, UploadId=upload)
        raise


def _put_part(
    calls: Calls, at: dict[str, str], upload: str, number: int, part: bytes
) -> dict[str, Any]:
    answer = calls(
        "upload_part",
        **at,
        UploadId=upload,
        PartNumber=number,
        Body=part,
        ChecksumAlgorithm="CRC32",
    )
    return {"PartNumber": number, "ETag": answer["ETag"], CHECKSUM: answer[CHECKSUM]}
