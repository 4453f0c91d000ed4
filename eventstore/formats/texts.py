"""Events whose values can only be texts: what the pipeline reads of them."""

import re
from collections.abc import Mapping
from typing import Any

from eventstore.event import FIELDS
from eventstore.formats.format import Fields

# Eight digits are a date (20261125), more of them seconds or milliseconds.
NUMBER = re.compile(r"[0-9]{9,15}(?:\.[0-9]{1,9})?")


def fields_of(values: Mapping[str, Any], names: Mapping[str, str]) -> Fields:
    """By the endpoint's own names."""
    found = Fields(*(values.get(name) for name in {**FIELDS, **names}.values()))
    found.time = time_of(found.time)
    return found


def time_of(value: Any) -> Any:
    """A time that is a number in all but its type becomes one."""
    return float(value) if isinstance(value, str) and NUMBER.fullmatch(value) else value
