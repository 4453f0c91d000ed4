"""The settings of a role, from the YAML file that EV_SETTINGS names. docs/settings.md has them all.

One flat table for all roles: a role ignores what is not its own, so one file can serve several.
"""

import dataclasses
import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from eventstore.endpoints import Endpoint, endpoints_of, field_names, networks_of, refuse_unknown
from eventstore.errors import SettingsError
from scaling.decide import Target
from scaling.nodes import Nodes, nodes_of
from scaling.targets import DEFAULTS, targets_of


def _bounded(default: float, low: float, high: float) -> Any:
    return field(default=default, metadata={"low": low, "high": high})


# Engines that are not the embedded ones of `data` → the scheme of their URLs.
ENGINES = {
    "queue": "sqs",
    "store": "dynamodb",
    "segments": "s3",
    "aggregates": "s3",
    "claims": "s3",
}
CHOICES = {"event_loop": ("uvloop", "asyncio"), "placement": ("auto", "items", "segments")}
STATES = ("file:///", "s3://")  # what scaling_state begins with


@dataclass(frozen=True)
class Settings:
    """Units are in the names: _s seconds, _bytes_max bytes, _max a bound."""

    data: str = "file:///srv/eventstore"
    queue: str = ""
    store: str = ""
    segments: str = ""
    placement: Literal["auto", "items", "segments"] = "auto"
    aggregates: str = ""
    claims: str = ""
    endpoints: tuple[Endpoint, ...] = (Endpoint("/v1/events"),)
    event_loop: Literal["uvloop", "asyncio"] = "uvloop"
    listen_port: int = _bounded(8080, 0, 65535)

    trusted_proxies: tuple[str, ...] = ()
    body_bytes_max: int = _bounded(1 << 20, 1, 16 << 20)
    body_s: float = _bounded(10, 0.05, 300)
    depth_max: int = _bounded(64, 1, 512)
    request_events_max: int = _bounded(10_000, 1, 100_000)
    keep_alive_s: float = _bounded(75, 1, 3600)
    header_s: float = _bounded(10, 0.05, 300)
    answer_s: float = _bounded(10, 0.05, 300)
    connections_max: int = _bounded(8192, 1, 60_000)
    receiving_bytes_max: int = _bounded(16 << 20, 1 << 16, 1 << 30)
    waiting_requests_max: int = _bounded(4096, 1, 100_000)
    waiting_bytes_max: int = _bounded(32 << 20, 1, 1 << 30)
    pack_bytes_max: int = _bounded(1 << 20, 1, 32 << 20)
    dictionaries: dict[str, int] = field(default_factory=dict)
    commit_s: float = _bounded(5, 0.05, 60)
    queue_packs_max: int = _bounded(20_000, 1, 10_000_000)
    queue_bytes_max: int = _bounded(1 << 30, 1, 1 << 40)
    syslog_port: int = _bounded(0, 0, 65535)
    syslog_address: str = "127.0.0.1"
    syslog_line_bytes_max: int = _bounded(16 << 10, 480, 1 << 20)
    syslog_connections_max: int = _bounded(256, 1, 10_000)
    spool: str = ""
    spool_bytes_max: int = _bounded(1 << 30, 1, 1 << 40)

    lease_s: float = _bounded(15, 0.1, 3600)
    claim_packs_max: int = _bounded(16, 1, 1000)
    attempts_max: int = _bounded(10, 1, 1000)
    poll_s: float = _bounded(0.05, 0.001, 10)
    segment_linger_s: float = _bounded(2, 0, 60)
    fields: dict[str, str] = field(default_factory=dict)
    enrichments: tuple[str | dict[str, Any], ...] = (
        "user_agent",
        "bots",
        "url",
        "campaign",
        "referrer",
        "session",
    )
    transforms: tuple[str, ...] = ()
    transform_s: float = _bounded(1, 0.01, 60)
    late_max_s: int = _bounded(7 * 86400, 0, 366 * 86400)
    early_max_s: int = _bounded(3600, 0, 86400)

    window_s: int = _bounded(60, 1, 86400)
    publish_s: float = _bounded(2, 0.01, 3600)
    generations_kept: int = _bounded(3, 2, 1000)

    scaling: Mapping[str, Target] = field(default_factory=lambda: DEFAULTS)
    scaling_nodes: str | Nodes = field(default_factory=dict)
    scaling_groups: dict[str, str] = field(default_factory=dict)
    scaling_state: str = ""
    scaling_s: float = _bounded(15, 0.1, 3600)
    scaling_lease_s: float = _bounded(60, 0.5, 86400)

    @property
    def linger_s(self) -> float:
        """How long packs wait for others to be stored with; 0: nothing is gained by that."""
        return self.segment_linger_s if self.segments and self.placement != "items" else 0


def load(path: Path) -> Settings:
    """Reads and checks a settings file; SettingsError names the file, the key and the remedy."""
    try:
        document = yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"settings {path}: cannot be read: {error}") from error
    try:
        return from_dict({} if document is None else document)
    except SettingsError as error:
        raise SettingsError(f"settings {path}: {error}") from None


def from_dict(document: object) -> Settings:
    """Checks every key and value; missing keys get their defaults."""
    if not isinstance(document, dict):
        raise SettingsError("expected a mapping of settings at the top")
    known = {one.name: one for one in dataclasses.fields(Settings)}
    refuse_unknown(document, list(known))
    values: dict[str, Any] = {name: _value(known[name], value) for name, value in document.items()}
    settings = Settings(**values)
    if not settings.data.startswith("file:///"):
        raise SettingsError(f"data: {settings.data!r}: the engine here is file:///<folder>")
    for name, scheme in ENGINES.items():
        url = getattr(settings, name)
        if url and not url.startswith(f"{scheme}://"):
            raise SettingsError(f"{name}: {url!r}: expected {scheme}://<name>?region=<region>")
    if settings.spool and settings.spool != "none" and not settings.spool.startswith("/"):
        raise SettingsError(f"spool: {settings.spool!r}: expected /a/folder, or none")
    if settings.segments and not settings.store:
        raise SettingsError("segments: only a store of dynamodb:// has them: name one in store")
    if settings.placement == "segments" and not settings.segments:
        raise SettingsError("placement: segments: name their bucket: segments: s3://<name>/<path>")
    if settings.scaling_state and not settings.scaling_state.startswith(STATES):
        raise SettingsError(
            f"scaling_state: {settings.scaling_state!r}: expected file:///<folder>, or"
            " s3://<bucket>/<prefix>?region=<region>"
        )
    _check_syslog(settings)
    return settings


def _check_syslog(settings: Settings) -> None:
    takers = [one.path for one in settings.endpoints if one.format == "syslog"]
    if settings.syslog_port and len(takers) != 1:
        raise SettingsError(
            f"syslog_port: {settings.syslog_port}: needs exactly one endpoint with"
            f" format: syslog, whose tags its messages get; there are {len(takers)}"
        )
    try:
        ipaddress.ip_address(settings.syslog_address)
    except ValueError as error:
        raise SettingsError(f"syslog_address: {error}") from None


def _value(key: dataclasses.Field[Any], value: object) -> object:
    if key.name in TABLES:
        return TABLES[key.name](value)
    kind = type(key.default)
    if key.name in CHOICES:
        if value not in CHOICES[key.name]:
            raise SettingsError(f"{key.name}: {value!r}: one of {', '.join(CHOICES[key.name])}")
        return value
    if kind is str:
        if not isinstance(value, str) or not value:
            raise SettingsError(f"{key.name}: {value!r}: expected text")
        return value
    whole = str(key.type) in ("int", "<class 'int'>")
    allowed: tuple[type, ...] = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, allowed):
        raise SettingsError(f"{key.name}: {value!r}: expected a {'whole ' * whole}number")
    low, high = key.metadata["low"], key.metadata["high"]
    if not low <= value <= high:
        raise SettingsError(f"{key.name}: {value!r}: expected {low} to {high}")
    return value


def _transforms(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise SettingsError("transforms: expected a list like [myapp.transforms:clean]")
    return tuple(value)


def _enrichments(value: object) -> tuple[str | dict[str, Any], ...]:
    if not isinstance(value, list):
        raise SettingsError("enrichments: expected a list, in the order of the work")
    for one in value:
        options = list(one.values()) if isinstance(one, dict) else [{}]
        if not isinstance(one, str | dict) or len(options) != 1 or not isinstance(options[0], dict):
            raise SettingsError(f"enrichments: {one!r}: expected NAME, or NAME: {{its options}}")
    return tuple(value)


def _dictionaries(value: object) -> dict[str, int]:
    if not isinstance(value, dict) or not all(
        isinstance(tenant, str) and type(number) is int and 0 < number < 1 << 32
        for tenant, number in value.items()
    ):
        raise SettingsError("dictionaries: expected {TENANT: id}: `events dictionary ls` has them")
    return value


def _targets(value: object) -> Mapping[str, Target]:
    try:
        return targets_of(value)
    except ValueError as error:
        raise SettingsError(f"scaling: {error}") from None


def _nodes(value: object) -> str | Nodes:
    if isinstance(value, str) and value.startswith("file:///"):
        return value
    try:
        return nodes_of(value)
    except ValueError as error:
        raise SettingsError(f"scaling_nodes: {error}; or file:///<a file with that>") from None


def _groups(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not all(
        role in DEFAULTS and isinstance(url, str) and url.startswith("asg://")
        for role, url in value.items()
    ):
        raise SettingsError(
            f"scaling_groups: expected roles ({', '.join(DEFAULTS)}) with their groups:"
            " {processor: asg://<group>?region=<region>&port=8081}"
        )
    return value


TABLES: dict[str, Callable[[object], object]] = {
    "dictionaries": _dictionaries,
    "endpoints": endpoints_of,
    "enrichments": _enrichments,
    "fields": lambda value: field_names(value, "fields: "),
    "scaling": _targets,
    "scaling_groups": _groups,
    "scaling_nodes": _nodes,
    "transforms": _transforms,
    "trusted_proxies": networks_of,
}
