"""The three roles on SQS, DynamoDB and S3, as processes; and which actions each of them needs."""

from __future__ import annotations

import base64
import contextlib
import json
import random
import shutil
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from cli.aws.bill import bill_of
from eventstore import settings
from eventstore.backends.aws.begun import Begun
from eventstore.backends.aws.place import Place
from eventstore.backends.aws.retries import Retries
from eventstore.backends.aws.table import Table
from eventstore.ended import Ended
from eventstore.engines import open_queue, open_segments
from eventstore.event import new_pack_id
from eventstore.ports import Packed
from eventstore.query.read import open_reader
from eventstore.tools.dispatch import run_tool
from scaling.prices import load
from tests.aws.conftest import REGION
from tests.aws.proxy import Proxy, proxied
from tests.contracts.test_event_store import A, enriched
from tests.eventstore.conftest import Node, _post, _until

ROOT = Path(__file__).parent.parent.parent
POLICIES = ROOT / "docs" / "aws"
WAIT_S = 90
Urls = Callable[[dict[str, str]], dict[str, str]]


@pytest.fixture
def urls(sqs: str, dynamodb: str, s3: str, new_name: Callable[[str], str], tmp_path: Path) -> Urls:
    """The settings' URLs of one environment, by the endpoints that they are to go through."""
    names = {kind: new_name(kind) for kind in ("packs", "events", "windows")}

    def made(through: dict[str, str]) -> dict[str, str]:
        ends = {service: f"?region={REGION}&endpoint={one}" for service, one in through.items()}
        return {
            "queue": f"sqs://{names['packs']}{ends['sqs']}",
            "store": f"dynamodb://{names['events']}{ends['dynamodb']}",
            "aggregates": f"s3://{names['windows']}/shop{ends['s3']}",
            "claims": f"s3://{names['windows']}/claims{ends['s3']}",
            "segments": f"s3://{names['windows']}/segments{ends['s3']}",
            "placement": "segments",
        }

    file = tmp_path / "environment.yaml"
    file.write_text(json.dumps(made({"sqs": sqs, "dynamodb": dynamodb, "s3": s3})))
    assert run_tool(["create", "--settings", str(file)]) == 0  # the plan
    assert run_tool(["create", "--settings", str(file), "--yes"]) == 0
    assert run_tool(["create", "--settings", str(file), "--yes"]) == 0  # all is there
    return made


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    root = Path(tempfile.mkdtemp(prefix="ev-"))
    monkeypatch.setenv("STATE_DIRECTORY", str(root / "state"))
    node = Node(root)
    try:
        yield node
    finally:
        node.close()
        shutil.rmtree(root)


PREFIXES = {"aggregates": "shop", "claims": "claims", "segments": "segments"}
ABORT = "s3:AbortMultipartUpload"  # seen when an upload fails: tests/aws/test_s3.py


def policy(role: str) -> tuple[set[str], set[tuple[str, str]]]:
    """Its actions; those with objects in S3, and below which prefix."""
    statements = json.loads((POLICIES / f"{role}.json").read_text())["Statement"]
    actions = {action for one in statements for action in one["Action"]}
    objects = {
        (action, PREFIXES[one["Resource"].split("/")[1]])
        for one in statements
        if one["Resource"].startswith("arn:aws:s3:::APP-ENV-store/")
        for action in one["Action"]
    }
    may_put = {prefix for action, prefix in objects if action == "s3:PutObject"}
    assert {prefix for action, prefix in objects if action == ABORT} == may_put
    return actions - {ABORT}, {one for one in objects if one[0] != ABORT}


def test_events_go_all_the_way_and_each_role_does_what_its_policy_says(
    node: Node, urls: Urls, sqs: str, dynamodb: str, s3: str
):
    services = {"sqs": sqs, "dynamodb": dynamodb, "s3": s3}
    direct = urls(services)
    seen: dict[str, list[Proxy]] = {}
    left = _left_behind(direct)
    with contextlib.ExitStack() as stack:
        for role in ("collector", "processor", "postprocessor"):
            proxies = {
                service: stack.enter_context(proxied(one)) for service, one in services.items()
            }
            seen[role] = list(proxies.values())
            through = urls({service: one.endpoint for service, one in proxies.items()})
            node.settings = {
                **through,
                "spool": "none",
                "commit_s": 60,
                "lease_s": 60,
                "attempts_max": 2,
                "body_bytes_max": 4 << 20,
                "poll_s": 0.05,
                "publish_s": 0.1,
                "generations_kept": 2,
                "segment_linger_s": 0.1,
            }
            node.start(role)
        _all_the_way(node, direct)
        _until(lambda: not left(), WAIT_S)
        _check_bill(node)
        for generation in node.generations:
            generation.terminate()
        assert [one.wait(WAIT_S) for one in node.generations] == [0, 0, 0]
        _check_bill_of_the_ended(node)
        for role, through in seen.items():
            actions, objects = policy(role)
            assert set().union(*(one.actions for one in through)) == actions, role
            assert set().union(*(one.objects for one in through)) == objects, role


def _left_behind(direct: dict[str, str]) -> Callable[[], list[str]]:
    """A segment that a processor has begun hours ago, and died; which of its objects are there."""
    segments = open_segments(settings.from_dict(direct))
    name = UUID(int=new_pack_id().int - (3 * 3_600_000 << 80)).hex
    table = Table(Place.of(direct["store"], "dynamodb"), Retries(60))
    Begun(table).note(name)
    table.close()
    segments.write(name, [enriched([A])], {})
    assert len(segments.bucket.keys(name)) == 2
    return lambda: segments.bucket.keys(name)


def _all_the_way(node: Node, direct: dict[str, str]) -> None:
    options = settings.from_dict(direct)
    reader = open_reader("", options)
    port = node.port("collector")
    at = datetime.now(UTC).isoformat()  # all in one window
    sent = [{"id": f"client-{number}", "type": "a", "at": at} for number in range(20)]
    for number, some in enumerate((sent[:10], sent[5:15], sent)):  # its client sends some again
        status, receipt = _post(port, json.dumps(some).encode())
        assert status == 200, receipt
        _until(_aggregated(port, receipt), WAIT_S)
        ((generation, counts),) = reader.windows()
        assert generation.generation > number
        assert counts.total() == (10, 15, 20)[number]
    large = base64.b64encode(random.Random(1).randbytes(2 << 20)).decode()
    status, receipt = _post(port, json.dumps({"type": "b", "at": at, "note": large}).encode())
    assert status == 200
    _until(_aggregated(port, receipt), WAIT_S)
    queue = open_queue(options)
    poison = (b"no pack at all", b"no pack" * (1 << 18))
    packs = [Packed(new_pack_id(), body, "/e", 1) for body in poison]
    queue.put(packs)
    queue.close()
    _until(lambda: len(list(reader.dead_letters())) == 2 and reader.drained(), WAIT_S)
    assert {one.body for one in reader.dead_letters()} == set(poison)
    for pack in packs:
        assert _receipt(port, str(pack.pack_id))["state"] == "dead"
    events = list(reader.events())
    assert len(events) == 21
    assert [one.value["note"] for one in events if one.value["type"] == "b"] == [large]
    assert reader.mismatches() == {}
    # What is asked on a processor's node, as `evctl events` does.
    (processor,) = node.root.glob("processor-*.yaml")
    assert run_tool(["trace", receipt["pack"], "--settings", str(processor)]) == 0
    assert run_tool(["show", str(events[0].id), "--settings", str(processor)]) == 0
    assert run_tool(["ledger", "--settings", str(processor)]) == 1
    reader.close()


def _check_bill(node: Node) -> None:
    """What the roles say at /metrics that they have consumed, priced."""
    pages = {
        f"node-{number}": {"r": generation.ask("/metrics")[1]}
        for number, generation in enumerate(node.generations)
    }
    made = bill_of(pages, time.time(), 3600, load())
    assert all(line.amount > 0 for line in made.lines)
    assert set(made.by_role) == {"collector", "processor", "postprocessor"}
    assert all(usd > 0 for usd in made.by_role.values())
    assert made.events == 10 + 10 + 20 + 1


def _check_bill_of_the_ended(node: Node) -> None:
    """As those tell that come after them."""
    left = "\n".join(Ended(node.root / "state" / "ended").lines())
    made = bill_of({"node-1": {"r": left}}, time.time(), 3600, load())
    assert made.ended == 3
    assert all(line.amount > 0 for line in made.lines)
    assert made.events == 10 + 10 + 20 + 1


def _aggregated(port: int, receipt: dict[str, Any]) -> Callable[[], bool]:
    """Until it was stored a pack is unknown: SQS finds no message by its id."""

    def look() -> bool:
        return bool(_receipt(port, receipt["pack"])["state"] == "aggregated")

    return look


def _receipt(port: int, pack_id: str) -> dict[str, Any]:
    url = f"http://127.0.0.1:{port}/receipt/{pack_id}"
    with urllib.request.urlopen(url, timeout=WAIT_S) as answer:
        found: dict[str, Any] = json.loads(answer.read())
        return found
