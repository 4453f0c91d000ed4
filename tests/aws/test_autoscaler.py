"""The autoscaler on AWS: its terms in a bucket, its nodes and its hands in Auto Scaling groups."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from eventstore.autoscaling.terms import Terms
from eventstore.backends.aws.bucket import Bucket
from eventstore.backends.aws.groups import Groups
from eventstore.backends.aws.place import Place
from eventstore.backends.aws.retries import Retries
from eventstore.errors import EngineUnavailable, SettingsError
from eventstore.settings import Settings
from tests.aws.conftest import REGION
from tests.aws.proxy import proxied
from tests.eventstore.conftest import Node, _until

POLICY = Path(__file__).parents[2] / "docs/aws/autoscaler.json"
RETRIES = Retries(30)
WAIT_S = 90


@dataclass
class Group:
    """One on moto, with one machine. Machines come and go at once there."""

    scaling: Any
    endpoint: str
    name: str

    def url(self, **more: str) -> str:
        options = {"region": REGION, "endpoint": self.endpoint, "port": "8081", **more}
        return f"asg://{self.name}?" + "&".join(f"{key}={one}" for key, one in options.items())

    def look(self) -> dict[str, Any]:
        found = self.scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[self.name])
        (group,) = found["AutoScalingGroups"]
        return dict(group)


@pytest.fixture
def group(moto: str, new_name: Callable[[str], str]) -> Group:
    at: Any = {"endpoint_url": moto, "region_name": REGION}
    scaling, ec2 = boto3.client("autoscaling", **at), boto3.client("ec2", **at)
    name = new_name("processor")
    (subnet, *_) = ec2.describe_subnets()["Subnets"]
    ec2.create_launch_template(
        LaunchTemplateName=name,
        LaunchTemplateData={"ImageId": "ami-12c6146b", "InstanceType": "c7g.medium"},
    )
    scaling.create_auto_scaling_group(
        AutoScalingGroupName=name,
        LaunchTemplate={"LaunchTemplateName": name, "Version": "$Default"},
        MinSize=1,
        MaxSize=4,
        DesiredCapacity=1,
        VPCZoneIdentifier=subnet["SubnetId"],
    )
    return Group(scaling, moto, name)


def test_machines_of_a_group_are_nodes_at_their_role_s_port(group: Group):
    groups = Groups({"processor": group.url()}, RETRIES)
    (one,) = groups()["processor"]
    assert one.startswith("http://10.") or one.startswith("http://172.")
    assert one.endswith(":8081")


def test_a_group_gets_the_number_and_keeps_its_own_bounds(group: Group):
    """moto takes more than the group's most; AWS refuses it."""
    groups = Groups({"processor": group.url()}, RETRIES)
    for wanted, there in ((3, 3), (9, 4), (0, 1)):
        groups.set_desired({"processor": wanted, "collector": 5})
        assert group.look()["DesiredCapacity"] == there
        assert len(groups()["processor"]) == there


def test_machines_that_are_about_to_go_are_no_longer_nodes(
    group: Group, monkeypatch: pytest.MonkeyPatch
):
    groups = Groups({"processor": group.url()}, RETRIES)
    groups.set_desired({"processor": 2})
    found = group.look()
    found["Instances"][0]["LifecycleState"] = "Terminating:Wait"
    monkeypatch.setattr(Groups, "_groups", lambda _: {"processor": found})
    assert len(groups()["processor"]) == 1


def test_a_group_that_is_not_there_is_named(group: Group):
    gone = Group(group.scaling, group.endpoint, "gone")
    with pytest.raises(EngineUnavailable, match=r"asg://gone: there is no such group; make it"):
        Groups({"processor": gone.url()}, RETRIES)()


@pytest.mark.parametrize(
    ("urls", "complaint"),
    [
        ({"processor": "asg://a?region=eu-west-1"}, "port=<the role's port>"),
        ({"processor": "asg://a?port=99999"}, "port=<the role's port>"),
        ({"processor": "asg://a?prot=1"}, "expected values for endpoint, port, region"),
        (
            {
                "processor": "asg://a?region=eu-west-1&port=1",
                "collector": "asg://b?region=eu-west-2&port=2",
            },
            "in one region",
        ),
    ],
)
def test_a_url_that_is_wrong_is_told(urls: dict[str, str], complaint: str):
    with pytest.raises(SettingsError, match=complaint):
        Groups(urls, RETRIES)


def bucket_of(url: str) -> Bucket:
    return Bucket(Place.of(url, "s3"), RETRIES)


@pytest.fixture
def state(s3: str, new_name: Callable[[str], str]) -> Iterator[Callable[[str], str]]:
    """Where terms are written, by the endpoint that they go through."""
    name = new_name("state")
    boto3.client("s3", endpoint_url=s3, region_name=REGION).create_bucket(
        Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    return lambda endpoint: f"s3://{name}/autoscaler?region={REGION}&endpoint={endpoint}"


def test_terms_in_a_bucket_are_written_once(s3: str, state: Callable[[str], str]):
    one = Terms(bucket_of(state(s3)), "one", 60, lambda: 0.0)
    other = Terms(bucket_of(state(s3)), "other", 60, lambda: 0.0)
    first = one.last()
    assert one.write(first, {"number": 1})
    assert not other.write(first, {"number": 2})
    seen = other.last()
    assert (seen.number, seen.owner, seen.decided) == (1, "one", {"number": 1})
    assert not other.mine(seen)
    one.let_go()
    assert other.mine(other.last())
    for number in range(5):
        assert other.write(other.last(), {"number": number})
    assert len(bucket_of(state(s3)).keys("term-")) == 3


def test_the_role_does_what_its_policy_says_and_nothing_else(
    group: Group, moto: str, s3: str, state: Callable[[str], str]
):
    document = json.loads(POLICY.read_text())
    allowed = {action for one in document["Statement"] for action in one["Action"]}
    with (
        tempfile.TemporaryDirectory(prefix="ev-") as root,
        proxied(moto) as scaling,
        proxied(s3) as objects,
    ):
        node = Node(Path(root))
        through = Group(group.scaling, scaling.endpoint, group.name)
        node.settings = {
            "scaling_groups": {"processor": through.url()},
            "scaling_state": state(objects.endpoint),
            "scaling": {"processor": {"floor": 2}},
            "scaling_s": 0.1,
            "commit_s": 60,
        }
        one = node.start("autoscaler")
        try:
            _until(lambda: group.look()["DesiredCapacity"] == 2, WAIT_S)
            _until(lambda: "s3:DeleteObject" in objects.actions, WAIT_S)
            one.terminate()
            assert one.wait(WAIT_S) == 0
        finally:
            node.close()
    assert scaling.actions | objects.actions == allowed


def test_it_is_only_opened_where_groups_are_named():
    from eventstore.engines import open_groups

    assert open_groups(Settings()) is None
