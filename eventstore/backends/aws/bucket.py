"""A bucket and a prefix in it: whole objects, written once or over."""

from collections.abc import Callable, Iterator

from eventstore.backends.aws.calls import Calls, Missing, Unmet
from eventstore.backends.aws.multipart import PART_BYTES, put_in_parts
from eventstore.backends.aws.place import Place
from eventstore.backends.aws.retries import Retries
from eventstore.errors import EngineUnavailable


class Bucket:
    """Keys are below the place's path. Checksums are boto3's own, checked at both ends; what is
    large goes in parts."""

    def __init__(self, place: Place, retries: Retries) -> None:
        self.place = place
        self._calls = Calls("s3", place, retries)
        self._prefix = f"{place.path}/" if place.path else ""
        self._calls("list_objects_v2", Bucket=place.name, Prefix=self._prefix, MaxKeys=1)

    def put(self, key: str, body: bytes) -> None:
        """Over whatever is there."""
        self._put(key, body, {})

    def put_once(self, key: str, body: bytes) -> bool:
        """False: there is one already, and it stays."""
        try:
            self._put(key, body, {"IfNoneMatch": "*"})
        except Unmet:
            return False
        return True

    def change(self, key: str, made_of: Callable[[bytes], bytes]) -> None:
        """What is there becomes what is made of it, also where others change it meanwhile; nothing
        stays nothing."""
        for last in self._calls.retries.tries():
            try:
                answer = self._calls("get_object", **self._at(key))
                body = made_of(answer["Body"].read())
                self._put(key, body, {"IfMatch": answer["ETag"]})
            except Missing:
                return
            except Unmet:
                if last:
                    break
            else:
                return
        raise EngineUnavailable(f"{self.place.url}: others keep changing {key}; try again")

    def get(self, key: str) -> bytes | None:
        """None: there is none."""
        try:
            answer = self._calls("get_object", **self._at(key))
        except Missing:
            return None
        body: bytes = answer["Body"].read()
        return body

    def get_range(self, key: str, at: int, length: int) -> bytes | None:
        """Some of its bytes, at least one; less when it ends before. None: there is none."""
        try:
            answer = self._calls(
                "get_object", **self._at(key), Range=f"bytes={at}-{at + length - 1}"
            )
        except Missing:
            return None
        body: bytes = answer["Body"].read()
        return body

    def keys(self, prefix: str) -> list[str]:
        """All that begin so, in order."""
        return [key for key, _ in self.walk(prefix)]

    def walk(self, prefix: str = "", *, after: str = "") -> Iterator[tuple[str, int]]:
        """The same, each with its bytes, from one key on: as many as there are."""
        more = {"StartAfter": self._prefix + after} if after else {}
        while True:  # ends: every page is further on
            page = self._calls(
                "list_objects_v2", Bucket=self.place.name, Prefix=self._prefix + prefix, **more
            )
            for one in page.get("Contents", []):
                yield one["Key"].removeprefix(self._prefix), one["Size"]
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def delete(self, key: str) -> None:
        self._calls("delete_object", **self._at(key))

    def close(self) -> None:
        self._calls.close()

    def _put(self, key: str, body: bytes, condition: dict[str, str]) -> None:
        if len(body) > PART_BYTES:
            put_in_parts(self._calls, self._at(key), body, condition)
        else:
            self._calls("put_object", **self._at(key), Body=body, **condition)

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self.place.name, "Key": self._prefix + key}
