"""AWS's engines on the loopback, each started once, when the first test asks for it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from cli.aws.account import session
from cli.lab.engines import servers
from tests.aws import shop as shops
from tests.aws.refusing import Refusing
from tests.serving import serving

REGION = shops.REGION


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test of an engine starts it, and waits for it as long as that takes."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(400))


@pytest.fixture(scope="session")
def sqs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """ElasticMQ's endpoint, with no queues."""
    with serving(servers.elasticmq, tmp_path_factory.mktemp("elasticmq")) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def dynamodb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """DynamoDB Local's endpoint, with no tables."""
    with serving(servers.dynamodb_local, tmp_path_factory.mktemp("dynamodb")) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An S3 server's endpoint, with no buckets."""
    with serving(servers.s3, tmp_path_factory.mktemp("s3")) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of EC2, Auto Scaling, CloudWatch and STS, all of them one server's."""
    program = servers.environment("moto") / "bin/moto_server"

    def server(address: str, port: int, _home: Path, *, durable: bool) -> servers.Server:
        assert not durable
        return servers.Server("moto", (str(program), "-H", address, "-p", str(port)), port)

    with serving(server, tmp_path_factory.mktemp("moto")) as endpoint:
        yield endpoint


@pytest.fixture
def refusing() -> Iterator[Callable[[str, int], str]]:
    """An endpoint that answers everything with one error."""
    started: list[ThreadingHTTPServer] = []

    def start(code: str, status: int) -> str:
        handler = type("Handler", (Refusing,), {"code": code, "status": status})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        started.append(server)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """boto3's usual chain, and nothing of this machine's own."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))


@pytest.fixture
def new_name() -> Callable[[str], str]:
    """A name that nothing on the engines has yet: they are shared by all tests."""
    return lambda kind: f"{kind}-{uuid4().hex[:12]}"


@pytest.fixture
def endpoints(sqs: str, dynamodb: str, s3: str, moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a user says them: botocore reads these by itself."""
    for service, endpoint in (
        ("SQS", sqs),
        ("DYNAMODB", dynamodb),
        ("S3", s3),
        *((one, moto) for one in ("STS", "EC2", "AUTO_SCALING", "CLOUDWATCH", "IAM")),
    ):
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", endpoint)


@pytest.fixture
def shop(
    endpoints: None,
    tmp_path: Path,
    new_name: Callable[[str], str],
    capsys: pytest.CaptureFixture[str],
) -> shops.Shop:
    shop = shops.Shop(new_name("shop"), tmp_path / "test.yaml", capsys)
    shop.write()
    return shop


@pytest.fixture
def nodes(shop: shops.Shop) -> dict[str, Any]:
    """The part of the file that says which nodes; on moto's own network."""
    ec2 = shops.client("ec2")
    (one, *_) = ec2.describe_subnets()["Subnets"]
    (group, *_) = ec2.describe_security_groups()["SecurityGroups"]
    collector = {
        "image": "ami-0123456789abcdef0",
        "instance": "c7g.large",
        "instance_profile": "shop-collector",
        "subnets": [one["SubnetId"]],
        "security_groups": [group["GroupId"]],
        "min": 2,
        "max": 4,
    }
    who = {"account": "123456789012", "master": "salt.internal"}
    return {**who, "groups": {"collector": collector}}


@pytest.fixture
def actions() -> Iterator[set[str]]:
    """What IAM calls the operations that evctl carries out meanwhile."""
    seen: set[str] = set()

    def note(event_name: str, **_: Any) -> None:
        _, service, operation = event_name.split(".")
        prefix = {"monitoring": "cloudwatch"}.get(service, service).replace("-", "")
        action = f"{prefix}:{operation}"
        seen.add(shops.ACTIONS.get(action, action))

    session().events.register("before-call", note)
    yield seen
    session().events.unregister("before-call", note)
