"""Formats: from a request's body to the events in it, byte for byte. The two explicit tables.

FORMATS: what an endpoint may name, the collector's half. READERS: how stored events are read, the
processor's half. A file holds one format; format.py is the port.
"""

from collections.abc import Callable, Mapping

from eventstore.errors import Refused
from eventstore.formats import (
    amplitude,
    cloud_event_fields,
    cloud_events,
    csv_rows,
    form,
    ga4,
    github,
    json_body,
    json_fields,
    message_pack,
    mixpanel,
    ndjson,
    otlp_logs,
    otlp_reader,
    pixel,
    posthog,
    segment,
    snowplow,
    stripe,
    syslog,
)
from eventstore.formats.format import (
    Answer,
    Events,
    Fields,
    Format,
    Limits,
    Read,
    Reader,
    Receipt,
    Run,
    Sent,
    json_refusal,
)

FORMATS: dict[str, Format] = {
    "json": json_body.FORMAT,
    "ndjson": ndjson.FORMAT,
    "form": form.FORMAT,
    "csv": csv_rows.FORMAT,
    "msgpack": message_pack.FORMAT,
    "cloudevents": cloud_events.FORMAT,
    "pixel": pixel.FORMAT,
    "github": github.FORMAT,
    "stripe": stripe.FORMAT,
    "segment": segment.FORMAT,
    "snowplow": snowplow.FORMAT,
    "otlp_logs": otlp_logs.FORMAT,
    "posthog": posthog.FORMAT,
    "mixpanel": mixpanel.FORMAT,
    "amplitude": amplitude.FORMAT,
    "ga4": ga4.FORMAT,
    "syslog": syslog.FORMAT,
}
READERS: dict[str, Reader] = {
    "json": json_fields.READER,
    "form": form.READER,
    "csv": csv_rows.READER,
    "msgpack": message_pack.READER,
    "cloudevents": cloud_event_fields.READER,
    "github": github.READER,
    "stripe": stripe.READER,
    "segment": segment.READER,
    "snowplow": snowplow.READER,
    "otlp_logs": otlp_reader.READER,
    "posthog": posthog.READER,
    "mixpanel": mixpanel.READER,
    "amplitude": amplitude.READER,
    "ga4": ga4.READER,
    "syslog": syslog.READER,
}
CONTENT_TYPES = {
    "application/json": "json",
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/x-www-form-urlencoded": "form",
    "text/csv": "csv",
    "application/vnd.msgpack": "msgpack",
    "application/msgpack": "msgpack",
    "application/x-msgpack": "msgpack",
    cloud_events.STRUCTURED: "cloudevents",
    cloud_events.BATCH: "cloudevents",
}


def format_for(name: str, headers: Mapping[str, str]) -> Format:
    """The endpoint's own format, or with `by_content_type` the one that the request names: by its
    Content-Type, unless that is of a CloudEvent's data."""
    if name == "by_content_type":
        content_type = headers.get("Content-Type", "")
        if cloud_events.VERSION_HEADER in headers:
            return cloud_events.FORMAT
        named = CONTENT_TYPES.get(content_type.partition(";")[0].strip().lower())
        if named is None:
            raise Refused(
                415,
                "content_type",
                f"Content-Type {content_type[:100]!r} is not taken here",
                f"send one of {', '.join(CONTENT_TYPES)}",
            )
        name = named
    return FORMATS[name]


def refusal_of(name: str) -> Callable[[Sent, Refused], Answer]:
    """How an endpoint refuses what is not even of its format."""
    return json_refusal if name == "by_content_type" else FORMATS[name].refuse


def methods_of(name: str) -> tuple[str, ...]:
    """The methods that a format takes; where that is GET also HEAD, of which nothing is kept."""
    methods = ("POST",) if name == "by_content_type" else FORMATS[name].methods
    return (*methods, "HEAD") if "GET" in methods else methods


def paths_of(name: str) -> tuple[str, ...]:
    """The paths below the endpoint's own that a format takes requests on."""
    return ("",) if name == "by_content_type" else FORMATS[name].paths


__all__ = [
    "CONTENT_TYPES",
    "FORMATS",
    "READERS",
    "Answer",
    "Events",
    "Fields",
    "Format",
    "Limits",
    "Read",
    "Reader",
    "Receipt",
    "Run",
    "Sent",
    "format_for",
    "methods_of",
    "paths_of",
    "refusal_of",
]
