"""JSON Schema by endpoint: an event that breaks its endpoint's schema becomes a dead letter.

No columns. Options: a mapping of endpoints to paths of schemas. The schemas are the processor's
own settings, for it is the one that checks: an endpoint that the collector doesn't know yet, or no
longer, can be waiting in the queue. A schema must be whole: nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import orjson

from eventstore.errors import SettingsError
from eventstore.formats import READERS
from eventstore.processing.columns import Columns
from eventstore.processing.enrichments import options as checked

if TYPE_CHECKING:
    import jsonschema_rs  # otherwise only where it is used: 4 MiB for those that check schemas

VALUE = "it"  # stands for the offending value: a reason holds no data, and is the same for many
REASON_CHARS_MAX = 300


def make(options: Mapping[str, Any]) -> Callable[[Columns], None]:
    """{endpoint: path of its schema}."""
    if not options:
        raise SettingsError("enrichments: schema: expected {ENDPOINT: path of its JSON Schema}")
    validators = {endpoint: _validator(endpoint, path) for endpoint, path in options.items()}

    def enrich(columns: Columns) -> None:
        validator = validators.get(columns.endpoint)
        if validator is not None:
            _check(columns, validator)

    return enrich


def _check(columns: Columns, validator: jsonschema_rs.Validator) -> None:
    import jsonschema_rs

    value = READERS[columns.format].value
    for index, (event, share) in enumerate(columns.per_event()):
        if index in columns.dead:
            continue
        try:
            validator.validate(value(event, share.context))
        except jsonschema_rs.ValidationError as error:
            columns.die(index, "schema", reason_of(error))


def reason_of(error: jsonschema_rs.ValidationError) -> str:
    """Where in the event, and what is wrong there."""
    where = "".join(f"/{step}" for step in error.instance_path) or "the event"
    return f"{where}: {error.message}"[:REASON_CHARS_MAX]


def _validator(endpoint: str, value: object) -> jsonschema_rs.Validator:
    import jsonschema_rs

    path = checked.file_of("schema", endpoint, value)
    try:
        document = orjson.loads(path.read_bytes())
        return jsonschema_rs.validator_for(document, offline=True, mask=VALUE)
    except (ValueError, jsonschema_rs.ValidationError) as error:
        reason = str(error).partition("\n")[0]
        raise SettingsError(f"enrichments: schema: {endpoint}: {path}: {reason}") from None
