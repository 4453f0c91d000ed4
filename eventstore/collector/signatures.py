"""Signed webhooks: who knows the secret has signed the body.

What is signed is the body as it came, before its Content-Encoding is undone: GitHub and Stripe send
theirs plain, and nothing of a stranger's is ever decompressed.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping

from eventstore.endpoints import Signature
from eventstore.errors import Refused

STRIPE_TOLERANCE_S = 300  # as in Stripe's own libraries
GITHUB_HEADER, STRIPE_HEADER = "X-Hub-Signature-256", "Stripe-Signature"


def verify(signature: Signature, headers: Mapping[str, str], body: bytes, now_s: float) -> None:
    """Raises Refused (401) unless the body is signed as the endpoint's signature says."""
    SCHEMES[signature.scheme](signature, headers, body, now_s)


def _github(signature: Signature, headers: Mapping[str, str], body: bytes, _now_s: float) -> None:
    given = _given(headers, GITHUB_HEADER)
    if not given.startswith("sha256="):
        raise _wrong(GITHUB_HEADER, "does not begin with sha256=")
    _compare(GITHUB_HEADER, [given.removeprefix("sha256=")], _digest(signature.secret, body))


def _stripe(signature: Signature, headers: Mapping[str, str], body: bytes, now_s: float) -> None:
    """t=<Unix seconds>,v1=<digest>,v1=…: of <t>.<body>; several while a secret is replaced."""
    pairs = [part.strip().partition("=") for part in _given(headers, STRIPE_HEADER).split(",")]
    signed_at = next((value for name, _, value in pairs if name == "t"), "")
    if not (signed_at.isascii() and signed_at.isdecimal() and len(signed_at) <= 12):
        raise _wrong(STRIPE_HEADER, "has no t=<Unix seconds>")
    digests = [value for name, _, value in pairs if name == "v1"]
    _compare(STRIPE_HEADER, digests, _digest(signature.secret, signed_at.encode() + b"." + body))
    # Only now: of an unsigned time nothing is said.
    if abs(now_s - int(signed_at)) > STRIPE_TOLERANCE_S:
        raise _wrong(STRIPE_HEADER, f"is not of the last {STRIPE_TOLERANCE_S} s")


def _hmac(signature: Signature, headers: Mapping[str, str], body: bytes, _now_s: float) -> None:
    given = _given(headers, signature.header).removeprefix("sha256=")
    _compare(signature.header, [given], _digest(signature.secret, body))


Scheme = Callable[[Signature, Mapping[str, str], bytes, float], None]
SCHEMES: Mapping[str, Scheme] = {"github": _github, "stripe": _stripe, "hmac": _hmac}


def _given(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name)
    if value is None:
        raise _wrong(name, "is missing")
    return value.strip()


def _digest(secret: str, message: bytes) -> bytes:
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest().encode()


def _compare(header: str, given: list[str], digest: bytes) -> None:
    """In constant time for each of those that were given."""
    alike = [hmac.compare_digest(one.lower().encode("utf-8", "replace"), digest) for one in given]
    if not any(alike):
        raise _wrong(header, "is not the body's")


def _wrong(header: str, why: str) -> Refused:
    return Refused(
        401,
        "wrong_signature",
        f"the signature in {header} {why}",
        "sign the body as it is sent, with this endpoint's secret",
    )
