"""A MaxMind database that the user supplies: opened at start, and asked once for each address.

The file is mapped into memory. Replace it by renaming another over it, as MaxMind's own updater
does; processes that run keep the one that they opened.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import maxminddb

from eventstore.errors import SettingsError
from eventstore.processing.enrichments import options as checked

CACHED_MAX = 16384


def lookup(
    name: str, options: Mapping[str, Any], found: Callable[[Mapping[str, Any]], tuple[str, ...]]
) -> Callable[[str], tuple[str, ...]]:
    """From an address to what `found` makes of its record, which is {} for an address that the
    database doesn't have. options: {database: path}."""
    checked.only(name, options, ("database",))
    path = checked.file_of(name, "database", options["database"])
    try:
        reader = maxminddb.open_database(path)
    except (maxminddb.InvalidDatabaseError, OSError) as error:
        raise SettingsError(f"enrichments: {name}: database: {path}: {error}") from None

    @lru_cache(maxsize=CACHED_MAX)
    def of_address(address: str) -> tuple[str, ...]:
        try:
            record = reader.get(address)
        except ValueError:
            record = None  # no address, or an IPv6 one where the database has only IPv4
        return found(record if isinstance(record, dict) else {})

    return of_address
