"""AWS's engines on the loopback, each started once, when the first test asks for it."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from cli.aws.account import session
from tests import s3server
from tests.aws import shop as shops
from tests.aws.fetch import folder_of
from tests.aws.refusing import Refusing
from tests.server_venv import installed
from tests.serving import free_port, serving

REGION = shops.REGION
START_S = 90.0  # a virtual machine of Java, on a busy one
QUICK_START = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
ELASTICMQ = """
include classpath("application.conf")
node-address {{ protocol = http, host = "127.0.0.1", port = {port}, context-path = "" }}
rest-sqs {{ enabled = true, bind-hostname = "127.0.0.1", bind-port = {port}, sqs-limits = strict }}
rest-stats.enabled = false
"""


def _java(engine: str) -> tuple[Path, str]:
    folder, java = folder_of(engine), shutil.which("java")
    if java is None or not folder.exists():
        pytest.skip(f"not run: {engine} is not here: make engines")
    return folder, java


def _environment(home: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(home)}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test of an engine starts it, and waits for it as long as that takes."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(400))


@pytest.fixture(scope="session")
def sqs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """ElasticMQ's endpoint, with no queues."""
    files, java = _java("elasticmq")
    home, port = tmp_path_factory.mktemp("elasticmq"), free_port()
    settings = home / "elasticmq.conf"
    settings.write_text(ELASTICMQ.format(port=port))
    command = (
        *(java, "-Xmx256m", *QUICK_START, f"-Dconfig.file={settings}"),
        *("-cp", f"{files}/*", "org.elasticmq.server.Main"),
    )
    with serving(
        "ElasticMQ", command, _environment(home), port=port, log=home / "log", start_s=START_S
    ) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def dynamodb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """DynamoDB Local's endpoint, with no tables."""
    files, java = _java("dynamodb-local")
    home, port = tmp_path_factory.mktemp("dynamodb"), free_port()
    command = (
        *(java, "-Xmx256m", *QUICK_START, f"-Djava.library.path={files}"),
        *("-cp", f"{files}:{files}/*", "Loopback"),
        *("-port", str(port), "-inMemory", "-sharedDb", "-disableTelemetry"),
    )
    with serving(
        "DynamoDB Local", command, _environment(home), port=port, log=home / "log", start_s=START_S
    ) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An S3 server's endpoint, with no buckets."""
    with s3server.running(tmp_path_factory.mktemp("s3") / "log") as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of EC2, Auto Scaling, CloudWatch and STS, all of them one server's."""
    server, home, port = installed("moto"), tmp_path_factory.mktemp("moto"), free_port()
    command = (server / "bin/moto_server", "-H", "127.0.0.1", "-p", str(port))
    with serving(
        "moto", command, _environment(home), port=port, log=home / "log", start_s=START_S
    ) as endpoint:
        yield endpoint


@pytest.fixture
def refusing() -> Iterator[Callable[[str, int], str]]:
    """An endpoint that answers everything with one error."""
    servers: list[ThreadingHTTPServer] = []

    def start(code: str, status: int) -> str:
        handler = type("Handler", (Refusing,), {"code": code, "status": status})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
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
        *((one, moto) for one in ("STS", "EC2", "AUTO_SCALING", "CLOUDWATCH")),
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
    return {"master": "salt.internal", "groups": {"collector": collector}}


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
