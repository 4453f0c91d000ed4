"""Replaces who by a name that only the holder of a key can link to them.

Columns: pseudonym_of_<field> for each named field, 32 hex digits of its BLAKE2b under the key; ""
where an event has none. Options: fields (of those that the pipeline reads, see the setting
`fields`), key (path of a file with the secret). The same key gives the same pseudonym for ever;
another key unlinks what came before.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from eventstore.errors import SettingsError
from eventstore.event import FIELDS
from eventstore.processing.columns import Columns
from eventstore.processing.enrichments import options as checked

CACHED_MAX = 16384
DIGEST_BYTES = 16
KEY_BYTES_MIN, KEY_BYTES_MAX = 16, blake2b.MAX_KEY_SIZE


def make(options: Mapping[str, Any]) -> Callable[[Columns], None]:
    """fields: names; key: path of the secret's file."""
    checked.only("pseudonymise", options, ("fields", "key"))
    fields = _fields(options["fields"])
    key = _key(options["key"])

    @lru_cache(maxsize=CACHED_MAX)
    def pseudonym(text: str) -> str:
        whole = text.encode("utf-8", "surrogatepass")
        return blake2b(whole, digest_size=DIGEST_BYTES, key=key).hexdigest() if text else ""

    def enrich(columns: Columns) -> None:
        for name in fields:
            texts = columns.addresses() if name == "address" else columns.source(name)
            columns.add(f"pseudonym_of_{name}", texts.mapped(pseudonym))

    return enrich


def _fields(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not set(map(str, value)) <= FIELDS.keys():
        raise SettingsError(
            f"enrichments: pseudonymise: fields: {value!r}: some of {', '.join(FIELDS)}"
        )
    return tuple(value)


def _key(value: object) -> bytes:
    path = checked.file_of("pseudonymise", "key", value)
    key = path.read_bytes().strip()  # editors end a file with a newline
    if not KEY_BYTES_MIN <= len(key) <= KEY_BYTES_MAX:
        raise SettingsError(
            f"enrichments: pseudonymise: key: {path} holds {len(key)} bytes:"
            f" expected {KEY_BYTES_MIN} to {KEY_BYTES_MAX}"
        )
    return key
