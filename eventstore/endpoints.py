"""The table of endpoints: which path takes which format, from whom, within which limits.

Part of the settings; docs/endpoints.md has every key. Changing it needs no code.
"""

import difflib
import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from eventstore.errors import SettingsError
from eventstore.event import FIELDS

PATH = re.compile(r"/[A-Za-z0-9._~/-]{0,200}")
# What is recorded of a sender's address: masked, without what points at one person (address.py).
ADDRESSES = ("whole", "masked", "none")
RESERVED_PATHS = ("/livez", "/readyz", "/version", "/metrics", "/receipt")
# As browsers spell it: no path, no slash at the end. `null` is a page from a file or a sandbox.
ORIGIN = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://[^/?#\s@]+")
# Each is an entry of formats.FORMATS; by_content_type chooses between the first ones.
FORMATS = (
    "by_content_type",
    "json",
    "ndjson",
    "form",
    "csv",
    "msgpack",
    "cloudevents",
    "pixel",
    "github",
    "stripe",
    "segment",
    "snowplow",
    "otlp_logs",
    "posthog",
    "mixpanel",
    "amplitude",
    "ga4",
    "syslog",
)


@dataclass(frozen=True, slots=True)
class Signature:
    """How a sender proves itself over the raw body: header, the scheme, the shared secret."""

    scheme: str
    secret: str = field(repr=False)
    header: str = "X-Signature-256"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A path that takes events.

    tags: stored once for each pack. source: what client ids belong to. keys: write keys, one of
    which a request must carry (none: anyone may send). fields: names in this endpoint's events for
    what the pipeline reads; missing ones are the settings' own. address: how much of a
    sender's address is recorded: one of ADDRESSES.
    """

    path: str
    format: str = "by_content_type"
    tags: dict[str, str] = field(default_factory=dict)
    source: str = ""
    tenant: str = "default"
    keys: tuple[str, ...] = field(default=(), repr=False)
    signature: Signature | None = None
    origins: tuple[str, ...] = ()
    fields: dict[str, str] = field(default_factory=dict)
    body_bytes_max: int | None = None
    request_events_max: int | None = None
    address: str = "whole"


def endpoints_of(value: object) -> tuple[Endpoint, ...]:
    """Reads and checks the table; SettingsError names the entry, the key and the remedy."""
    if not isinstance(value, list) or not value:
        raise SettingsError("endpoints: expected a list of at least one endpoint")
    endpoints = tuple(_endpoint(one, f"endpoints[{n}]: ") for n, one in enumerate(value))
    paths = [one.path for one in endpoints]
    for path in paths:
        if paths.count(path) > 1:
            raise SettingsError(f"endpoints: {path} is there twice")
    return endpoints


def networks_of(value: object) -> tuple[str, ...]:
    """Checks a list of networks: 10.0.0.0/8, 192.0.2.1, fd00::/8."""
    networks = _texts(value, "trusted_proxies: ")
    for network in networks:
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError as error:
            raise SettingsError(f"trusted_proxies: {error}") from None
    return networks


def refuse_unknown(document: Mapping[Any, object], known: list[str], where: str = "") -> None:
    """A key that isn't known is a typing error, never ignored."""
    for key in document:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.0)
            raise SettingsError(f"{where}unknown key {str(key)!r}: did you mean {near[0]!r}?")


def _endpoint(value: object, where: str) -> Endpoint:
    if not isinstance(value, dict):
        raise SettingsError(f"{where}expected a mapping with a path")
    refuse_unknown(value, [one.name for one in fields(Endpoint)], where)
    if "path" not in value:
        raise SettingsError(f"{where}path: None: expected a path like /v1/events")
    return Endpoint(**{key: CHECKS[key](text, f"{where}{key}: ") for key, text in value.items()})


Check = Callable[[Any, str], Any]


def _path(value: object, where: str) -> str:
    if (
        not isinstance(value, str)
        or not PATH.fullmatch(value)
        or value in RESERVED_PATHS
        or value.startswith("/receipt/")
    ):
        raise SettingsError(f"{where}{value!r}: expected a path like /v1/events")
    return value.rstrip("/")


def _format(value: object, where: str) -> str:
    if value not in FORMATS:
        raise SettingsError(f"{where}{value!r}: one of {', '.join(FORMATS)}")
    return str(value)


def _address(value: object, where: str) -> str:
    if value not in ADDRESSES:
        raise SettingsError(f"{where}{value!r}: one of {', '.join(ADDRESSES)}")
    return str(value)


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise SettingsError(f"{where}{value!r}: expected text")
    return value


def _texts(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise SettingsError(f"{where}expected a list of texts")
    return tuple(value)


def _origins(value: object, where: str) -> tuple[str, ...]:
    origins = _texts(value, where)
    for origin in origins:
        if not ORIGIN.fullmatch(origin):
            raise SettingsError(
                f"{where}{origin!r}: expected https://host or https://host:port, or *"
            )
    return origins


def _mapping(value: object, where: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(
        isinstance(text, str) for pair in value.items() for text in pair
    ):
        raise SettingsError(f"{where}expected a mapping of text to text")
    return dict(value)


def field_names(value: object, where: str) -> dict[str, str]:
    """Checks a mapping of what the pipeline reads → the field's name."""
    names = _mapping(value, where)
    refuse_unknown(names, list(FIELDS), where)
    every = [*{**FIELDS, **names}.values()]
    for name in every:
        if every.count(name) > 1:
            raise SettingsError(f"{where}{name!r} is there twice: each field is read for one thing")
    return names


def _bound(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 16 << 20:
        raise SettingsError(f"{where}{value!r}: expected 1 to {16 << 20}")
    return value


def _signature(value: object, where: str) -> Signature:
    if not isinstance(value, dict):
        raise SettingsError(f"{where}expected a mapping with scheme and secret")
    refuse_unknown(value, [one.name for one in fields(Signature)], where)
    if not all(isinstance(text, str) and text for text in value.values()) or not (
        value.keys() >= {"scheme", "secret"}
    ):
        raise SettingsError(f"{where}expected scheme and secret, as text")
    if value["scheme"] not in ("github", "stripe", "hmac"):
        raise SettingsError(f"{where}scheme: one of github, stripe, hmac")
    return Signature(**value)


CHECKS: dict[str, Check] = {
    "path": _path,
    "format": _format,
    "tags": _mapping,
    "source": _text,
    "tenant": _text,
    "keys": _texts,
    "signature": _signature,
    "origins": _origins,
    "fields": field_names,
    "body_bytes_max": _bound,
    "request_events_max": _bound,
    "address": _address,
}
