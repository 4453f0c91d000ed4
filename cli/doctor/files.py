"""The fleet's own files on this machine: what they say, and who may read and write them."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from artifacts.errors import EvctlError
from artifacts.trust import key_id_of, load_signing_key
from cli.doctor.check import Check, doubtful, fine, of_error, wrong
from cli.fleet import Fleet, NodeInfo
from cli.tokens import issued_at, unused_by
from cli.webhook import NoWebhook, read_url

NOT_ALLOWED = 4
TOKEN_AGE_S = 24 * 3600.0


def check_files(fleet: Fleet, nodes: dict[str, NodeInfo]) -> Iterator[Check]:
    yield from _check_writable("fleet.yaml", fleet.path)
    yield from _check_map(fleet, nodes)
    if fleet.config.signing_key is not None:
        yield _check_key("signing key", fleet.config.signing_key, fleet.config.trust)
    if fleet.config.orders_key is not None:
        yield _check_key("orders' key", fleet.config.orders_key)
    if fleet.config.webhook is not None:
        yield _check_webhook(fleet.config.webhook)


def _check_map(fleet: Fleet, nodes: dict[str, NodeInfo]) -> Iterator[Check]:
    path = fleet.config.nodes
    yield from _check_writable("map of nodes", path)
    if not nodes:
        yield doubtful("map of nodes", f"{path} names no node", "name some; or: evctl lab up")
    idle = [node.id for node in nodes.values() if node.role is None]
    if idle:
        yield doubtful(
            "roles", f"without a role: {', '.join(idle)}", f"give each a `role` in {path}"
        )


def _check_writable(name: str, path: Path) -> Iterator[Check]:
    """Whoever may write these decides what runs."""
    if path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        yield wrong(name, f"others may write {path}", f"chmod go-w {path}", NOT_ALLOWED)
    else:
        yield fine(name, str(path))


def _check_key(name: str, path: Path, trust: Mapping[str, str] | None = None) -> Check:
    """trust: who must know it, by fleet.yaml."""
    try:
        key = load_signing_key(path)
        trusted = f", trusted as {key_id_of(key, trust)}" if trust else ""
    except EvctlError as error:
        return of_error(name, error)
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return wrong(
            name, f"others may use {path}", f"chmod go= {path}; then a new key", NOT_ALLOWED
        )
    return fine(name, f"{path}{trusted}")


def _check_webhook(path: Path) -> Check:
    try:
        read_url(path)
    except NoWebhook as error:
        return of_error("webhook", error)
    return fine("webhook", f"its URL is in {path}; nothing was sent")


def check_tokens(folder: Path, joined: set[str], now: float) -> Iterator[Check]:
    """Tokens are for one boot: those that are left over let someone else join."""
    try:
        if not folder.is_dir():
            return
        left = unused_by(folder)
        age_s = now - issued_at(folder)
    except PermissionError as error:
        yield wrong("join tokens", str(error), "run evctl as the master's user", NOT_ALLOWED)
        return
    spent = sorted(left & joined)
    if spent:
        yield doubtful(
            "join tokens",
            f"unused, of nodes that have joined: {', '.join(spent)}",
            f"take them out of {folder}",
        )
    elif left and age_s > TOKEN_AGE_S:
        since = time.strftime("%Y-%m-%d", time.localtime(now - age_s))
        yield doubtful(
            "join tokens",
            f"unused since {since}: {', '.join(sorted(left))}",
            "boot these nodes, or take the tokens out of " + str(folder),
        )
    else:
        yield fine("join tokens", f"{len(left)} wait for their node" if left else "none left over")
