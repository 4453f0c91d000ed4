"""Who may say what: ed25519 signatures over a document and the kind of document that it is.

The kind is signed too, so that one document can't be passed off as another.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from artifacts.errors import EvctlError


class NotTrusted(EvctlError):
    code = "E2201"
    exit_code = 4
    explanation = (
        "A document isn't signed by a key that this fleet trusts (`trust` in fleet.yaml), or was "
        "changed after it was signed. Nothing of it was used."
    )


class BadKey(EvctlError):
    code = "E2202"
    exit_code = 2
    explanation = (
        "A signing key can't be read or written, or is none. `evctl key new PATH` makes one; it "
        "never writes over another."
    )


class KeyNotAllowed(EvctlError):
    code = "E2203"
    exit_code = 4
    explanation = (
        "This user may not read a signing key. It is its owner's alone: whoever has it makes "
        "releases that every node believes."
    )


def new_signing_key(path: Path) -> str:
    """Make a private key at `path`, readable by its owner alone; the public half, in base64.

    BadKey where there is something already, or nothing can be.
    """
    key = Ed25519PrivateKey.generate()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise BadKey(
            f"no signing key can be made at {path}",
            why=error.strerror or str(error),
            next_step="name a new file in a folder that is there",
        ) from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
    return public_key(key)


def load_signing_key(path: Path) -> Ed25519PrivateKey:
    """BadKey, KeyNotAllowed."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except PermissionError as error:
        raise KeyNotAllowed(
            f"can't read the signing key {path}",
            why=error.strerror or str(error),
            next_step=f"run it as its owner: ls -l {path}",
        ) from error
    except (OSError, ValueError, TypeError) as error:
        raise BadKey(
            f"no signing key at {path}",
            why=str(error),
            next_step=f"evctl key new {path}, and put the public half under `trust` in fleet.yaml",
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise BadKey(f"{path} isn't an ed25519 key", next_step=f"evctl key new {path}")
    return key


def public_key(key: Ed25519PrivateKey) -> str:
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return base64.b64encode(raw).decode()


def is_public_key(text: str) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except ValueError:  # binascii's too
        return False
    return True


def sign(kind: str, payload: bytes, key: Ed25519PrivateKey, key_id: str) -> bytes:
    """A signed document: JSON with the payload, its kind, and the signature over both."""
    return json.dumps(
        {
            "kind": kind,
            "payload": base64.b64encode(payload).decode(),
            "signatures": {key_id: base64.b64encode(key.sign(_signed(kind, payload))).decode()},
        },
        indent=1,
    ).encode()


def verify(kind: str, document: bytes, trust: Mapping[str, str]) -> bytes:
    """The payload of a document that a trusted key signed as this kind. NotTrusted."""
    try:
        parts = json.loads(document)
        payload = base64.b64decode(parts["payload"], validate=True)
        said_kind, signatures = parts["kind"], dict(parts["signatures"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise NotTrusted(
            f"this is no signed {kind}", why=str(error), next_step="publish it again with evctl"
        ) from error
    if said_kind == kind and any(
        _is_genuine(trust[key_id], signature, _signed(kind, payload))
        for key_id, signature in signatures.items()
        if key_id in trust
    ):
        return payload
    signed_by = ", ".join(sorted(map(str, signatures))) or "nobody"
    raise NotTrusted(
        f"this {kind} is not signed by a trusted key",
        why=f"signed by {signed_by} as {said_kind}; trusted: {', '.join(sorted(trust)) or 'none'}",
        next_step="check `trust` in fleet.yaml, or publish it with a trusted key",
    )


def key_id_of(key: Ed25519PrivateKey, trust: Mapping[str, str]) -> str:
    """Under which name the fleet trusts this key. NotTrusted when it doesn't."""
    for key_id, public in trust.items():
        if public == public_key(key):
            return key_id
    raise NotTrusted(
        "the signing key is not one that this fleet trusts",
        why=f"trusted: {', '.join(sorted(trust)) or 'none'}",
        next_step=f"put its public half under `trust` in fleet.yaml: {public_key(key)}",
    )


def _signed(kind: str, payload: bytes) -> bytes:
    return f"evctl.{kind}.v1\0".encode() + payload


def _is_genuine(public: str, signature: Any, signed: bytes) -> bool:
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public, validate=True))
        key.verify(base64.b64decode(signature, validate=True), signed)
    except (InvalidSignature, ValueError, TypeError, binascii.Error):
        return False
    return True
