"""Signatures: only what a trusted key signed, as what it signed it, is believed."""

from __future__ import annotations

import base64
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from artifacts.trust import (
    BadKey,
    NotTrusted,
    key_id_of,
    load_signing_key,
    new_signing_key,
    public_key,
    sign,
    verify,
)

PAYLOAD = b'{"a":1}'


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    new_signing_key(tmp_path / "signing.key")
    return tmp_path / "signing.key"


def signed(key_file: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """A document, taken apart, and who is trusted."""
    key = load_signing_key(key_file)
    return json.loads(sign("manifest", PAYLOAD, key, "k1")), {"k1": public_key(key)}


def test_what_is_signed_is_believed(key_file: Path) -> None:
    document, trust = signed(key_file)
    assert verify("manifest", json.dumps(document).encode(), trust) == PAYLOAD


def test_one_trusted_signature_among_others_will_do(key_file: Path) -> None:
    document, trust = signed(key_file)
    document["signatures"] |= {"k0": "AAAA", "k2": 5}
    trust |= {"k2": trust["k1"]}
    assert verify("manifest", json.dumps(document).encode(), trust) == PAYLOAD


def test_another_kind(key_file: Path) -> None:
    document, trust = signed(key_file)
    with pytest.raises(NotTrusted):
        verify("channel", json.dumps(document).encode(), trust)
    document["kind"] = "channel"  # relabelled: the kind is signed too
    with pytest.raises(NotTrusted) as caught:
        verify("channel", json.dumps(document).encode(), trust)
    assert caught.value.exit_code == 4


def test_a_changed_payload(key_file: Path) -> None:
    document, trust = signed(key_file)
    document["payload"] = base64.b64encode(b'{"a":2}').decode()
    with pytest.raises(NotTrusted):
        verify("manifest", json.dumps(document).encode(), trust)


def test_an_unknown_key(key_file: Path, tmp_path: Path) -> None:
    document, trust = signed(key_file)
    other = new_signing_key(tmp_path / "other.key")
    for trusted in ({}, {"k2": trust["k1"]}, {"k1": other}):
        with pytest.raises(NotTrusted, match="trusted: "):
            verify("manifest", json.dumps(document).encode(), trusted)
    with pytest.raises(NotTrusted, match="under `trust`"):
        key_id_of(load_signing_key(key_file), {"k1": other})


@pytest.mark.parametrize("trusted", ["", "AAAA", "not base64!", "ü"])
def test_a_damaged_trusted_key_trusts_nobody(key_file: Path, trusted: str) -> None:
    document, _ = signed(key_file)
    with pytest.raises(NotTrusted):
        verify("manifest", json.dumps(document).encode(), {"k1": trusted})


@pytest.mark.parametrize(
    "document",
    [b"", b"\xff", b"null", b"[]", b"7", b'"x"', b"{}", b"[" * 100_000, b'{"a":' * 100_000,
     b'{"payload": 1, "kind": "manifest", "signatures": {}}',
     b'{"payload": "*", "kind": "manifest", "signatures": {}}',
     b'{"payload": "", "kind": "manifest", "signatures": {}}',
     b'{"payload": "", "kind": "manifest", "signatures": 7}',
     b'{"payload": "", "kind": "manifest", "signatures": ["x"]}',
     b'{"payload": "", "kind": "manifest", "signatures": {"k1": null}}',
     b'{"payload": "", "kind": "manifest", "signatures": {"k1": {}}}',
     b'{"payload": "", "kind": "manifest", "signatures": [["k1", "AAAA"]]}',
     b'{"payload": "", "kind": ["manifest"], "signatures": {"k1": "AAAA"}}',
     b'{"payload": "", "kind": 1' + b"0" * 5000 + b', "signatures": {}}'],
    ids=range(19),
)  # fmt: skip
def test_garbage(key_file: Path, document: bytes) -> None:
    _, trust = signed(key_file)
    with pytest.raises(NotTrusted):
        verify("manifest", document, trust)


def test_a_key_is_its_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        public = new_signing_key(tmp_path / "signing.key")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "signing.key").stat().st_mode) == 0o600
    key = load_signing_key(tmp_path / "signing.key")
    assert public_key(key) == public
    assert key_id_of(key, {"k0": "x", "k1": public}) == "k1"


def test_a_key_is_never_written_over(key_file: Path, tmp_path: Path) -> None:
    before = key_file.read_bytes()
    with pytest.raises(BadKey, match="exists"):
        new_signing_key(key_file)
    assert key_file.read_bytes() == before
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadKey, match="exists"):
        new_signing_key(tmp_path / "link")
    assert not (tmp_path / "elsewhere").exists()


def test_a_key_where_none_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(BadKey) as caught:
        new_signing_key(tmp_path / "absent" / "signing.key")
    assert caught.value.exit_code == 2
    assert caught.value.next_step


def test_what_is_no_key(key_file: Path, tmp_path: Path) -> None:
    pem = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    locked = load_signing_key(key_file).private_bytes(
        *pem, serialization.BestAvailableEncryption(b"word")
    )
    other = rsa.generate_private_key(65537, 2048).private_bytes(*pem, serialization.NoEncryption())
    for body in (b"", b"hello", b"\xff" * 100, key_file.read_bytes()[:60], locked, other):
        (tmp_path / "bad.key").write_bytes(body)
        with pytest.raises(BadKey, match="evctl key new"):
            load_signing_key(tmp_path / "bad.key")
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(BadKey):
            load_signing_key(path)
