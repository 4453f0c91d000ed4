"""Address → where it is, by a MaxMind City or Country database.

Columns: country (ISO 3166, "DE"), region (ISO 3166-2 without the country, "BE"), city (in English).
Option: database (its path).
"""

from collections.abc import Callable, Mapping
from typing import Any

from eventstore.columnar import Coded
from eventstore.processing.columns import Columns
from eventstore.processing.enrichments import database

NAMES = ("country", "region", "city")


def make(options: Mapping[str, Any]) -> Callable[[Columns], None]:
    """database: path."""
    place_of = database.lookup("geoip", options, found)

    def enrich(columns: Columns) -> None:
        addresses = columns.addresses()
        places = [place_of(address) for address in addresses.values]
        for place, name in enumerate(NAMES):
            columns.add(name, Coded([one[place] for one in places], addresses.codes))

    return enrich


def found(record: Mapping[str, Any]) -> tuple[str, ...]:
    """The texts of NAMES."""
    regions = record.get("subdivisions") or [{}]
    return (
        str(record.get("country", {}).get("iso_code", "")),
        str(regions[0].get("iso_code", "")),
        str(record.get("city", {}).get("names", {}).get("en", "")),
    )
