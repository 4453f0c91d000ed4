"""One-time join tokens, and the master's own map of ids to roles.

A node gets a token with its first boot. The master accepts a new key only with a token that is
still unused (Salt's autosign_grains), and its external pillar, asked for the first time by that
node, checks that the token was issued to this very id and strikes it off.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import yaml

GRAIN = "evctl_token"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, text: str) -> None:
    aside = path.with_name(f"{path.name}.new")
    aside.write_text(text)
    aside.chmod(0o600)
    aside.rename(path)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def issue(folder: Path, node_id: str) -> str:
    """A new token for this id; an earlier one of the same id is void. Kept only as its digest
    beside the id, and in the clear, until it is used, in the file that Salt reads."""
    token = secrets.token_hex(24)
    with _locked(folder):
        issued = _issued(folder)
        issued[node_id] = _digest(token)
        _replace(folder / "issued.yaml", yaml.safe_dump(issued))
        _replace(folder / GRAIN, "\n".join([*_unused(folder, issued), token]) + "\n")
    return token


def redeem(folder: Path, node_id: str, token: str) -> bool:
    """True when this token was issued to this id; from then on no other node can join with it."""
    with _locked(folder):
        issued = _issued(folder)
        genuine = hmac.compare_digest(issued.get(node_id, ""), _digest(token))
        unused = _unused(folder, issued)
        if token in unused:
            _replace(folder / GRAIN, "".join(f"{t}\n" for t in unused if t != token))
    return genuine


def unused_by(folder: Path) -> set[str]:
    """The ids that were issued a token with which nobody has joined yet. Nothing is changed."""
    issued = _issued(folder)
    unused = {_digest(token) for token in _unused(folder, issued)}
    return {node_id for node_id, digest in issued.items() if digest in unused}


def issued_at(folder: Path) -> float:
    """When a token was last issued or used, in Unix seconds."""
    path = folder / GRAIN
    return path.stat().st_mtime if path.exists() else time.time()


def _issued(folder: Path) -> dict[str, str]:
    path = folder / "issued.yaml"
    return dict(_parsed(path.read_text())) if path.exists() else {}


@lru_cache(maxsize=2)
def _parsed(text: str) -> dict[str, str]:
    """Every node that polls asks for it, and it seldom changes: parsed once a process."""
    return yaml.load(text, yaml.CSafeLoader) or {}


def _unused(folder: Path, issued: dict[str, str]) -> list[str]:
    path = folder / GRAIN
    tokens = path.read_text().split() if path.exists() else []
    valid = set(issued.values())
    return [token for token in tokens if _digest(token) in valid]
