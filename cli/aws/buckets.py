"""S3 buckets: closed to the public, with a lifecycle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cli.aws.account import Absent, Account, as_pairs, from_pairs
from cli.aws.change import Present, Properties, Resource
from cli.aws.environment import Environment
from cli.aws.errors import AwsNotAllowed, AwsRefused, NotOurs

KIND = "bucket"
UPLOADS_DAYS = 7  # parts of an upload that nobody ended cost like objects
LIFECYCLE = {"expires", "uploads_days", "other_rules"}
CLOSED = dict.fromkeys(
    ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
)
DELETES_MAX = 1000
TAKEN = "BucketAlreadyExists"


def wanted(env: Environment) -> list[Resource]:
    return [
        Resource(
            KIND,
            f"{env.prefix}{name}",
            {
                "region": env.region,
                "public": False,
                "expires": dict(bucket.expires),
                "uploads_days": UPLOADS_DAYS,
                "other_rules": [],
            },
            fixed=frozenset({"region"}),
        )
        for name, bucket in env.buckets.items()
    ]


class Buckets:
    """Implements kind.Kind."""

    def __init__(self, account: Account, tags: Mapping[str, str]) -> None:
        self._account = account
        self._tags = dict(tags)

    def names(self, prefix: str) -> list[str]:
        found = self._account.all("s3", "list_buckets", "Buckets", Prefix=prefix)
        return [one["Name"] for one in found]

    def look(self, name: str) -> Present | None:
        try:
            where = self._call("get_bucket_location", Bucket=name)["LocationConstraint"]
        except Absent:
            return None
        except AwsNotAllowed as error:
            if "AccessDenied" not in error.why:
                raise
            raise NotOurs(
                f"there is a bucket {name} already, and this account may not look at it",
                why="it may be somebody else's: buckets have one name in all the world",
                next_step="call the app, the environment or the bucket something else",
            ) from error
        tags = self._optional("get_bucket_tagging", "TagSet", name) or []
        closed = self._optional("get_public_access_block", "PublicAccessBlockConfiguration", name)
        rules = self._optional("get_bucket_lifecycle_configuration", "Rules", name) or []
        return Present(
            self._tags.items() <= from_pairs(tags).items(),
            {
                "region": where or "us-east-1",
                "public": closed != CLOSED,
                **_read(rules),
            },
        )

    def create(self, wanted: Resource) -> None:
        """With its tags at once: otherwise what is cut short here would be nobody's."""
        where: dict[str, Any] = {"Tags": as_pairs(self._tags)}
        if wanted.properties["region"] != "us-east-1":  # which can't be named
            where["LocationConstraint"] = wanted.properties["region"]
        try:
            self._call("create_bucket", Bucket=wanted.name, CreateBucketConfiguration=where)
        except AwsRefused as error:
            if TAKEN not in error.why:
                raise
            raise NotOurs(
                f"there is a bucket {wanted.name} already, and it is somebody else's",
                why="buckets have one name in all the world",
                next_step="call the app, the environment or the bucket something else",
            ) from error
        self.change(wanted, wanted.properties)

    def change(self, wanted: Resource, differs: Properties) -> None:
        if "public" in differs:
            self._call(
                "put_public_access_block",
                Bucket=wanted.name,
                PublicAccessBlockConfiguration=CLOSED,
            )
        if LIFECYCLE & differs.keys():
            rules = [_expire(*one) for one in wanted.properties["expires"].items()]
            rules.append(_end_uploads(wanted.properties["uploads_days"]))
            self._call(
                "put_bucket_lifecycle_configuration",
                Bucket=wanted.name,
                LifecycleConfiguration={"Rules": rules},
            )

    def holds(self, name: str) -> str:
        some = self._call("list_objects_v2", Bucket=name, MaxKeys=1)
        return "objects" if some.get("Contents") else ""

    def delete(self, name: str) -> None:
        while True:  # ends: every page is deleted
            page = self._call("list_objects_v2", Bucket=name, MaxKeys=DELETES_MAX)
            gone = [{"Key": one["Key"]} for one in page.get("Contents", ())]
            if not gone:
                break
            self._call("delete_objects", Bucket=name, Delete={"Objects": gone, "Quiet": True})
        self._call("delete_bucket", Bucket=name)

    def _optional(self, operation: str, key: str, name: str) -> Any:
        """None: it was never set."""
        try:
            return self._call(operation, Bucket=name)[key]
        except Absent:
            return None

    def _call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        return self._account.call("s3", operation, **arguments)


def _read(rules: list[dict[str, Any]]) -> dict[str, Any]:
    """Rules as properties; others than ours by their ids, so that a plan shows that they go."""
    read: dict[str, Any] = {"expires": {}, "uploads_days": None, "other_rules": []}
    for rule in rules:
        prefix = rule.get("Filter", {}).get("Prefix", "")
        days = rule.get("Expiration", {}).get("Days")
        uploads = rule.get("AbortIncompleteMultipartUpload", {}).get("DaysAfterInitiation")
        if rule == _expire(prefix, days):
            read["expires"][prefix] = days
        elif rule == _end_uploads(uploads):
            read["uploads_days"] = uploads
        else:
            read["other_rules"].append(rule.get("ID", ""))
    return read


def _expire(prefix: str, days: int) -> dict[str, Any]:
    return _rule(f"expire {prefix}", prefix, {"Expiration": {"Days": days}})


def _end_uploads(days: int) -> dict[str, Any]:
    aborted = {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": days}}
    return _rule("end uploads", "", aborted)


def _rule(name: str, prefix: str, does: dict[str, Any]) -> dict[str, Any]:
    return {"ID": name, "Filter": {"Prefix": prefix}, "Status": "Enabled", **does}
