"""`evctl aws roles` on moto: the machines' roles, by the policies that are in docs/aws."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from cli.aws.roles import TRUST
from tests.aws.shop import POLICIES, REGION, Shop, client

# What AWS checks beside an operation: tags that are given with it, and whose role a profile has.
IMPLIED = {"iam:TagRole", "iam:TagInstanceProfile", "iam:PassRole"}
NAMES = ("collector", "processor", "postprocessor", "autoscaler", "master")


@pytest.fixture
def roles(shop: Shop) -> dict[str, str]:
    return {name: str(POLICIES / f"{name}.json") for name in NAMES}


def actions_of(answer: dict[str, Any]) -> list[str]:
    return [one["action"] for one in answer["changes"]]


def test_roles_are_made_once_and_changed_by_what_their_policy_allows(
    shop: Shop, roles: dict[str, str], actions: set[str], tmp_path: Path
):
    shop.write(roles=roles)
    code, said = shop.evctl("roles", "--yes")
    assert (code, actions_of(said)) == (0, ["create"] * len(NAMES))
    assert actions_of(shop.evctl("roles", "--yes")[1]) == ["keep"] * len(NAMES)
    iam, name = client("iam"), shop.name("processor")
    policy = iam.get_role_policy(RoleName=name, PolicyName="evctl")["PolicyDocument"]
    resources = [one["Resource"] for one in policy["Statement"]]
    assert resources[0] == f"arn:aws:sqs:{REGION}:123456789012:{shop.name('packs')}"
    assert f"arn:aws:s3:::{shop.name('store')}/segments/*" in resources
    profile = iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
    assert [one["RoleName"] for one in profile["Roles"]] == [name]

    iam.remove_role_from_instance_profile(InstanceProfileName=name, RoleName=name)
    iam.update_assume_role_policy(
        RoleName=shop.name("master"), PolicyDocument=json.dumps(TRUST).replace("ec2", "lambda")
    )
    iam.delete_role_policy(RoleName=shop.name("collector"), PolicyName="evctl")
    _, said = shop.evctl("roles", "--yes")
    changed = {one["name"]: list(one["after"]) for one in said["changes"] if one["after"]}
    assert changed == {
        name: ["profile"],
        shop.name("master"): ["trust"],
        shop.name("collector"): ["policy"],
    }
    assert actions_of(shop.evctl("roles", "--yes")[1]) == ["keep"] * len(NAMES)
    allowed = json.loads((POLICIES / "roles.json").read_text())["Statement"]
    assert actions | IMPLIED == {action for one in allowed for action in one["Action"]}


def test_in_no_policy_a_word_is_left_that_evctl_does_not_replace(roles: dict[str, str]):
    for file in roles.values():
        text = Path(file).read_text()
        for word in ("REGION", "ACCOUNT", "APP-ENV-"):
            text = text.replace(word, "")
        for statement in json.loads(text)["Statement"]:
            assert not re.search("[A-Z]{2}", statement["Resource"]), file


def test_apply_and_destroy_leave_roles_alone(shop: Shop, roles: dict[str, str]):
    shop.write(roles=roles, queues={}, tables={}, buckets={})
    shop.evctl("roles", "--yes")
    assert shop.apply() == []
    assert shop.evctl("destroy", "--yes")[1]["deleted"] == []
    assert actions_of(shop.evctl("roles", "--yes")[1]) == ["keep"] * len(NAMES)


def test_a_role_of_somebody_else_is_left_alone(shop: Shop, roles: dict[str, str]):
    shop.write(roles=roles)
    client("iam").create_role(RoleName=shop.name("master"), AssumeRolePolicyDocument="{}")
    error = shop.refused("roles", "--yes")
    assert (error["code"], error["exit"]) == ("E6004", "4")


@pytest.mark.parametrize(
    ("text", "why"), [(None, "No such file"), ("{", "Expecting"), ("{}", "it has no Statement")]
)
def test_a_file_that_is_no_policy(shop: Shop, tmp_path: Path, text: str | None, why: str):
    file = tmp_path / "policy.json"
    if text is not None:
        file.write_text(text)
    shop.write(roles={"collector": str(file)})
    error = shop.refused("roles", "--yes")
    assert (error["code"], error["exit"]) == ("E5501", "2")
    assert why in error["why"]
