"""Takes out of an address what points at one person: an IPv4's last octet, an IPv6's last 80 bits.

Column: address, what is left. Steps after this one see nothing else; those before it saw the whole
one. The stored payload and the pack's header keep what the collector has put there: docs/
enrichments.md says how it puts less.
"""

from collections.abc import Callable, Mapping
from typing import Any

from eventstore.address import masked
from eventstore.processing.columns import Columns
from eventstore.processing.enrichments import options as checked


def make(options: Mapping[str, Any]) -> Callable[[Columns], None]:
    """No options."""
    checked.only("anonymise_ip", options, ())
    return enrich


def enrich(columns: Columns) -> None:
    addresses = columns.addresses().mapped(masked)
    columns.replace_addresses(addresses)
    columns.add("address", addresses)
