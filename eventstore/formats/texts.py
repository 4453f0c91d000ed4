"""Events whose values can only be texts: what the pipeline reads of them."""

import re
from collections.abc import Mapping
from typing import Any

from eventstore.event import FIELDS
from eventstore.formats.format import Fields

# Eight digits are a date (20261125), more of them seconds or milliseconds.
NUMBER = re.compile(r"[0-9]{9,15}(?:\.[0-9]{1,9})?")


def texts_by_name(found: Mapping[str, list[str]]) -> dict[str, Any]:
    """Name → text, or a list of texts where a name is there several times."""
    return {name: texts[0] if len(texts) == 1 else texts for name, texts in found.items()}


def fields_of(values: Mapping[str, Any], names: Mapping[str, str]) -> Fields:
    """By the endpoint's own names."""
    found = Fields(*(values.get(name) for name in {**FIELDS, **names}.values()))
    found.time = time_of(found.time)
    return found


def time_of(value: Any) -> Any:
    """A time that is a number in all but its type becomes one."""
    return float(value) if isinstance(value, str) and NUMBER.fullmatch(value) else value
