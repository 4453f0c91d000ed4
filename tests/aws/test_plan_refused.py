"""What bad input gets at `plan`: one line what, why and what next, and nothing is changed."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from cli.aws.account import session
from tests.aws.shop import Shop


@pytest.mark.parametrize(
    ("service", "refuses", "said", "next_step"),
    [
        ("STS", ("InvalidClientTokenId", 403), "E6001", "mend AWS_PROFILE"),
        ("STS", ("ExpiredToken", 400), "E6001", "mend AWS_PROFILE"),
        ("STS", ("SignatureDoesNotMatch", 403), "E6001", "set this machine's clock"),
        ("STS", ("RequestExpired", 400), "E6001", "set this machine's clock"),
        ("SQS", ("AccessDenied", 403), "E6001", "docs/aws/operator.json"),
        ("DYNAMODB", ("UnrecognizedClientException", 400), "E6001", "mend AWS_PROFILE"),
        ("DYNAMODB", ("AccessDeniedException", 400), "E6001", "docs/aws/operator.json"),
        ("S3", ("AccessDenied", 403), "E6004", "call the app, the environment or the bucket"),
        ("S3", ("RequestTimeTooSkewed", 403), "E6001", "set this machine's clock"),
        ("S3", ("InvalidAccessKeyId", 403), "E6001", "mend AWS_PROFILE"),
        ("S3", ("AuthorizationHeaderMalformed", 400), "E6003", "mend `region`"),
    ],
)
def test_what_aws_refuses(
    shop: Shop,
    refusing: Callable[[str, int], str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    service: str,
    refuses: tuple[str, int],
    said: str,
    next_step: str,
):
    monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", refusing(*refuses))
    error = shop.refused()
    assert error["code"] == said
    assert next_step in error["next"]


def test_an_endpoint_that_does_not_resolve(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://nowhere.invalid:1")
    error = shop.refused()
    assert (error["code"], error["exit"]) == ("E6002", "7")
    assert "nowhere.invalid" in error["why"]
    assert "region" in error["next"]


def test_a_region_that_is_none(shop: Shop):
    shop.write(region="eu central")
    error = shop.refused()
    assert (error["code"], error["exit"]) == ("E6002", "7")
    assert "`region: eu central`" in error["next"]


def test_an_endpoint_where_nobody_listens(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # taken, and not listening
        monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", f"http://127.0.0.1:{sock.getsockname()[1]}")
        assert shop.refused()["code"] == "E6002"


def test_no_credentials(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    session.cache_clear()
    try:
        error = shop.refused()
    finally:
        session.cache_clear()
    assert error["code"] == "E6001"
    assert "AWS_ACCESS_KEY_ID" in error["next"]


def test_credentials_of_another_account(shop: Shop):
    shop.write(account="999999999999")
    error = shop.refused()
    assert (error["code"], error["exit"]) == ("E6001", "4")
    assert "123456789012" in error["what"]


@pytest.mark.parametrize(
    ("differs", "says"),
    [
        ({"queus": {}}, "queus isn't a key"),
        ({"queues": {"Packs": {}}}, "queues.Packs makes the name"),
        ({"queues": {"packs": {"kept_days": 15}}}, "queues.packs.kept_days must be a whole number"),
        ({"queues": []}, "queues must be keys with values"),
        ({"tables": {"events": {"key": {"pk": "text"}}}}, "each S, N or B"),
        ({"tables": {"events": {"warm": {"reads": 1}}}}, "tables.events.warm.writes is missing"),
        (
            {
                "tables": {
                    "t": {
                        "warm": {"reads": 1, "writes": 1},
                        "provisioned": {"reads": 1, "writes": 1},
                    }
                }
            },
            "on demand (warm) or provisioned, not both",
        ),
        ({"buckets": {"b": {"expires": {"x/": 0}}}}, "buckets.b.expires.x/ must be"),
        ({"region": 1}, "region must be a text"),
        ({"account": "12"}, "account must be twelve digits"),
        ({"env": "prod"}, "env is no key"),
        ({"groups": {"collector": {"image": "a"}}}, "groups.collector.instance is missing"),
    ],
)
def test_a_file_that_is_wrong(shop: Shop, differs: dict[str, Any], says: str):
    shop.write(**differs)
    error = shop.refused()
    assert (error["code"], error["exit"]) == ("E5501", "2")
    assert says in error["what"]


@pytest.mark.parametrize("text", ["a: [", "- 1", ""])
def test_a_file_that_is_none(shop: Shop, text: str):
    shop.file.write_text(text)
    assert shop.refused()["code"] == "E5501"


def test_a_file_that_is_not_there(shop: Shop):
    shop.file.unlink()
    error = shop.refused()
    assert (error["code"], error["why"]) == ("E5501", "No such file or directory")
    assert "--file" in error["next"]
