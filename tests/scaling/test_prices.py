"""The table of prices: whole, dated, and in the units that FACTS of AWS are told in."""

import re

import pytest

from scaling import prices


def test_every_price_has_a_unit_a_page_and_a_date():
    table = prices.load()
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", table.read_on)
    for name, price in table.prices.items():
        assert price.usd > 0 and price.per >= 1 and price.unit, name
        assert price.source.startswith("https://aws.amazon.com/"), name
        assert re.fullmatch(r"20\d\d-\d\d", price.of), name


@pytest.mark.parametrize(
    ("name", "amount", "usd"),
    [
        ("sqs_request", 1_000_000, 0.40),
        ("dynamodb_write_unit", 1_000_000_000, 625),
        ("dynamodb_read_unit", 1_000_000, 0.125),
        ("s3_put", 2_000_000, 10),
        ("s3_get", 1000, 0.0004),
        ("dynamodb_wcu_hour", 100 * prices.HOURS_A_MONTH, 47.45),
    ],
)
def test_what_an_amount_costs(name: str, amount: float, usd: float):
    assert prices.load().usd(name, amount) == pytest.approx(usd)


def test_a_price_that_is_not_in_the_table_is_no_zero():
    with pytest.raises(KeyError):
        prices.load().usd("sqs_requests", 1)


def test_instances_of_a_family_cost_by_their_size():
    instances = prices.load().instances
    for family in ("c7g", "c7i"):
        each = [one for name, one in instances.items() if name.startswith(f"{family}.")]
        a_vcpu = [one.usd_per_hour / one.vcpus for one in each]
        assert max(a_vcpu) == pytest.approx(min(a_vcpu), rel=0.01)
        assert all(one.memory_gib == 2 * one.vcpus for one in each)
