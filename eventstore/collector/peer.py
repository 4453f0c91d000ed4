"""Who a request comes from: its address, and the trace that it belongs to."""

import ipaddress
import re
import secrets
from collections.abc import Mapping, Sequence
from functools import lru_cache

from multidict import CIMultiDictProxy

from eventstore.address import masked

TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
KNOWN_VERSION, NO_VERSION = "00", "ff"
SAMPLED = 1
NO_TRACE, NO_SPAN = "0" * 32, "0" * 16
HOPS_MAX = 32

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def address_of(address: str, headers: CIMultiDictProxy[str], proxies: Sequence[str]) -> str:
    """The client's address: the connection's own, or, as long as that is one of our proxies (CIDR),
    what X-Forwarded-For says that it forwarded for. Nobody else's header is believed."""
    if not proxies:
        return address
    hops = ",".join(headers.getall("X-Forwarded-For", ())).split(",")[-HOPS_MAX:]
    while hops and _is_within(address, tuple(proxies)):
        forwarded = _parsed(hops.pop().strip())
        if forwarded is None:
            break
        address = forwarded
    return address


def recorded(address: str, how: str) -> str:
    """What an endpoint keeps of an address. how: one of endpoints.ADDRESSES."""
    if how == "masked":
        return masked(address)
    return address if how == "whole" else ""


def trace_of(headers: Mapping[str, str]) -> str:
    """A request's W3C traceparent; "" when it has none, or none that is valid. Of a later version:
    what this one has of it."""
    given = headers.get("traceparent")
    if given is None:
        return ""
    found = TRACEPARENT.fullmatch(given)
    if not found:
        return ""
    version, trace, span, flags, more = found.groups()
    if version == NO_VERSION or trace == NO_TRACE or span == NO_SPAN:
        return ""
    if version == KNOWN_VERSION:
        return "" if more else given
    return f"{KNOWN_VERSION}-{trace}-{span}-{int(flags, 16) & SAMPLED:02x}"


def continued(trace: str) -> str:
    """The traceparent of our own span in the same trace."""
    return f"{trace[:36]}{secrets.token_hex(8)}{trace[52:]}"


def _parsed(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def _is_within(address: str, networks: tuple[str, ...]) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(found in ipaddress.ip_network(network, strict=False) for network in networks)
