"""AWS's prices: prices.yaml, read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

FILE = Path(__file__).with_name("prices.yaml")
HOURS_A_MONTH = 730


@dataclass(frozen=True)
class Price:
    """usd for `per` of unit; source is a page, of is the date that it bears."""

    usd: float
    per: float
    unit: str
    source: str
    of: str


@dataclass(frozen=True)
class Instance:
    """A type of EC2 machine: Linux, on demand."""

    usd_per_hour: float
    vcpus: int
    memory_gib: int


@dataclass(frozen=True)
class Prices:
    """usd("s3_put", 1000) is what a thousand PUTs cost."""

    region: str
    read_on: str
    prices: Mapping[str, Price]
    instances: Mapping[str, Instance]

    def usd(self, name: str, amount: float) -> float:
        """KeyError for a name that prices.yaml has not."""
        price = self.prices[name]
        return price.usd * amount / price.per

    @property
    def said(self) -> str:
        """Where and when, for whoever reads a figure made from these."""
        return f"{self.region}, prices read on {self.read_on}"


@cache
def load() -> Prices:
    """The table of this release."""
    document = yaml.safe_load(FILE.read_text())
    sources = document["sources"]
    return Prices(
        region=document["region"],
        read_on=str(document["read_on"]),
        prices={
            name: Price(
                usd=float(one["usd"]),
                per=float(one["per"]),
                unit=one["unit"],
                source=sources[one["source"]]["url"],
                of=str(sources[one["source"]]["of"]),
            )
            for name, one in document["prices"].items()
        },
        instances={name: Instance(**one) for name, one in document["instances"].items()},
    )
