"""An environment of an app with a name of its own, and `evctl aws` for it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.main import run
from eventstore.backends.aws.calls import session

REGION = "eu-central-1"
POLICIES = Path(__file__).parent.parent.parent / "docs" / "aws"
# Where IAM calls an operation something else.
ACTIONS = {
    "s3:DeleteObjects": "s3:DeleteObject",
    "s3:GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "s3:ListBuckets": "s3:ListAllMyBuckets",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
    "s3:PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
}
SHOP = {
    "region": REGION,
    "queues": {"packs": {}},
    "tables": {"events": {"ttl": "expires_at", "warm": {"reads": 12_000, "writes": 40_000}}},
    "buckets": {"store": {"expires": {"claims/": 15}}},
}


def client(service: str) -> Any:
    """As boto3 makes it, of another session than evctl's."""
    return session().client(service, REGION)  # type: ignore[call-overload]


@dataclass
class Shop:
    """An environment `test` of an app with a name of its own."""

    app: str
    file: Path
    capsys: pytest.CaptureFixture[str]

    def write(self, **differs: Any) -> None:
        self.file.write_text(yaml.safe_dump({"app": self.app, **SHOP, **differs}))

    def evctl(
        self, command: str, *more: str, fleet: Path | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Exit code, and what it says as JSON."""
        words = (
            *(("--fleet", str(fleet)) if fleet else ()),
            *("aws", command, "--env", "test", "--file", str(self.file), *more, "--json"),
        )
        code = run(list(words))
        return code, json.loads(self.capsys.readouterr().out.splitlines()[-1])

    def apply(self) -> list[tuple[str, str, str]]:
        code, said = self.evctl("apply", "--yes")
        assert code == 0, said
        return [(one["action"], one["kind"], one["name"]) for one in said["changes"]]

    def refused(self, command: str = "plan", *more: str) -> dict[str, str]:
        code, said = self.evctl(command, *more)
        assert code == int(said["error"]["exit"])
        assert "\n" not in "".join(said["error"].values())
        assert said["error"]["next"]
        error: dict[str, str] = said["error"]
        return error

    def name(self, kind: str) -> str:
        return f"{self.app}-test-{kind}"
