"""What a plan of an environment finds, and its price: pure, without any engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cli.aws import waiting
from cli.aws.account import Absent
from cli.aws.change import Present, Resource, compare, shown
from cli.aws.environment import Environment, Expects, Group, Table, Units
from cli.aws.environment_file import load_environment
from cli.aws.errors import AwsUnreachable, CannotBecome, EnvironmentFileError, NotOurs
from cli.aws.price import price_of
from cli.aws.waiting import until
from scaling.prices import load

TABLE = Resource(
    "table",
    "shop-prod-events",
    {"key": {"pk": "S"}, "ttl": "expires_at", "warm": 12_000},
    fixed=frozenset({"key"}),
    at_least=frozenset({"warm"}),
)
WEB = "image: a, instance: b, instance_profile: c, subnets: [d], security_groups: [e]"
SAME = dict(TABLE.properties)


def test_what_is_missing_is_made():
    change = compare(TABLE, None)
    assert (change.action, change.after) == ("create", TABLE.properties)


@pytest.mark.parametrize(
    ("differs", "before", "after"),
    [
        ({}, {}, {}),
        ({"ttl": None}, {"ttl": None}, {"ttl": "expires_at"}),
        ({"warm": 4000}, {"warm": 4000}, {"warm": 12_000}),
        ({"warm": 20_000}, {}, {}),  # traffic has warmed it
        ({"of its own": 1}, {}, {}),
    ],
)
def test_what_differs_is_changed(differs, before, after):
    change = compare(TABLE, Present(True, {**SAME, **differs}))
    assert (change.before, change.after) == (before, after)
    assert change.action == ("change" if after else "keep")


def test_what_a_service_says_nothing_of_is_not_compared():
    assert compare(TABLE, Present(True, {"key": {"pk": "S"}})).action == "keep"


def test_what_is_not_ours_is_left_alone():
    with pytest.raises(NotOurs, match="isn't this environment's"):
        compare(TABLE, Present(False, SAME))


def test_what_never_changes():
    with pytest.raises(CannotBecome) as told:
        compare(TABLE, Present(True, {**SAME, "key": {"id": "N"}}))
    assert told.value.why == 'it is {"id": "N"}; the file says {"pk": "S"}'


def test_values_in_a_line_of_a_plan():
    assert [shown(one) for one in (None, "a b", {"a": 1}, 2, True)] == [
        *("none", "a b", '{"a": 1}', "2", "true")
    ]
    assert shown("a script\n") == shown("a script\n") != shown("another\n")
    assert shown("x" * 100).startswith("sha256:")


def test_what_was_just_made_is_waited_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(waiting, "POLL_S", 0)
    answers: list[Callable[[], bool]] = [absent, lambda: False, lambda: True]

    def ready() -> bool:
        answer = answers.pop(0)
        return answer()

    until(ready, "it")
    assert answers == []
    monkeypatch.setattr(waiting, "READY_S", -1)
    with pytest.raises(AwsUnreachable, match="it isn't ready"):
        until(lambda: False, "it")


def absent() -> bool:
    raise Absent


def group(instance: str) -> Group:
    return Group("ami", instance, "profile", ("subnet",), ("sg",), min=1, max=3)


def test_a_price_has_nodes_provisioned_tables_and_what_is_expected():
    env = Environment(
        "shop",
        "prod",
        "eu-central-1",
        tables={"events": Table(provisioned=Units(100, 1000)), "more": Table()},
        groups={"collector": group("c7g.large"), "processor": group("x99.huge")},
        expects=Expects(1000, 300),
    )
    price = price_of(env, load())
    costs = {line.what: (round(line.least, 2), round(line.most, 2)) for line in price.lines}
    assert costs["1 to 3 collector (c7g.large)"] == (52.92, 158.77)
    assert costs["table events, provisioned"] == (483.99, 483.99)
    assert costs["their disks, 8 GB each (calculated)"] == (1.28, 3.84)
    # 300 kB/s, two thirds of them into another zone, for 0.02 a GB
    assert costs["between 3 zones, if a load balancer is billed for it (calculated)"] == (0, 10.51)
    by_use = [name for name in costs if name.endswith("for 1,000 events/s of 300 bytes")]
    assert [name.split(",")[0] for name in by_use] == ["SQS", "S3"]  # units are provisioned
    assert "nodes of the type x99.huge: not in scaling/prices.yaml" in price.not_counted
    assert price.to_json()["usd_per_month"]["most"] == round(price.most, 2)


def test_an_environment_without_anything_costs_nothing_that_is_known():
    price = price_of(Environment("shop", "prod", "eu-central-1"), load())
    assert (price.least, price.most) == (0, 0)
    assert any("expects" in what for what in price.not_counted)


def test_names_and_urls_of_an_environment(tmp_path: Path):
    file = tmp_path / "prod.yaml"
    file.write_text("app: shop\nregion: eu-west-1\nqueues: {packs: {}}\nbuckets: {store: null}\n")
    env = load_environment("prod", file)
    assert env.tags == {"evctl-app": "shop", "evctl-env": "prod"}
    assert env.urls == [
        "sqs://shop-prod-packs?region=eu-west-1",
        "s3://shop-prod-store?region=eu-west-1",
    ]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (f"groups: {{web: {{min: 3, max: 1, {WEB}}}}}\nmaster: m", "a min above its max"),
        (f"groups: {{web: {{min: 1, max: 1, {WEB}}}}}\nmaster: m", "account is missing"),
        (
            f"groups: {{web: {{min: 1, max: 1, {WEB}}}}}\naccount: '123456789012'",
            "master is missing",
        ),
        ("alarms: {notify: topic}", "must be a list of texts"),
        ("expects: {events_per_s: 1}", "expects.event_bytes is missing"),
        (f"queues: {{{'x' * 60}: {{}}}}", "at most 63 characters"),
    ],
)
def test_a_file_that_is_wrong(tmp_path: Path, more: str, says: str):
    file = tmp_path / "prod.yaml"
    file.write_text(f"app: shop\nregion: eu-west-1\n{more}\n")
    with pytest.raises(EnvironmentFileError) as told:
        load_environment("prod", file)
    assert says in told.value.what
