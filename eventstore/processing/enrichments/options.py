"""Reading an enrichment's options: strict, and every complaint names the enrichment and the key."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eventstore.endpoints import refuse_unknown
from eventstore.errors import SettingsError


def only(name: str, options: Mapping[str, Any], known: Sequence[str]) -> None:
    """Every known option is there, and no other."""
    where = f"enrichments: {name}: "
    if not known and options:
        raise SettingsError(f"{where}takes no options, not {', '.join(map(str, options))}")
    refuse_unknown(options, list(known), where)
    for key in known:
        if key not in options:
            raise SettingsError(f"{where}{key}: missing")


def file_of(name: str, key: str, value: object) -> Path:
    """The path of a file that can be read now: at start, not with the first event."""
    if not isinstance(value, str) or not value:
        raise SettingsError(f"enrichments: {name}: {key}: {value!r}: expected the path of a file")
    path = Path(value)
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        raise SettingsError(f"enrichments: {name}: {key}: cannot be read: {error}") from None
