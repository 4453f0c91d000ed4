"""Address → whose network it is in, by a MaxMind ASN database.

Columns: asn ("AS64496"), as_organisation. Option: database (its path).
"""

from collections.abc import Callable, Mapping
from typing import Any

from eventstore.columnar import Coded
from eventstore.processing.columns import Columns
from eventstore.processing.enrichments import database


def make(options: Mapping[str, Any]) -> Callable[[Columns], None]:
    """database: path."""
    network_of = database.lookup("asn", options, found)

    def enrich(columns: Columns) -> None:
        addresses = columns.addresses()
        networks = [network_of(address) for address in addresses.values]
        columns.add("asn", Coded([number for number, _ in networks], addresses.codes))
        columns.add("as_organisation", Coded([name for _, name in networks], addresses.codes))

    return enrich


def found(record: Mapping[str, Any]) -> tuple[str, str]:
    """Number and organisation."""
    number = record.get("autonomous_system_number")
    name = record.get("autonomous_system_organization", "")
    return f"AS{number}" if number else "", str(name)
