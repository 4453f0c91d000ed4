"""What a release says about itself: names, digests, roles. Its encoding is canonical."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from artifacts.errors import EvctlError
from artifacts.windows import check_window


class BadManifest(EvctlError):
    code = "E2101"
    exit_code = 4
    explanation = "A manifest isn't what this version of evctl understands, or is damaged."


@dataclass(frozen=True)
class Manifest:
    """One release.

    release: `<version>-<first 12 hex of the tarball's sha256>`. python: `3.11`. commit: git's id.
    created_at: the commit's date, ISO 8601 in UTC. files, wheels: path in the tarball → sha256.
    roles: name → the role as evctl.yaml has it (`command`, `listen`, `ready_s`, `drain_s`, …).
    closed: windows of the week in which it isn't rolled out.
    """

    release: str
    app: str
    version: str
    python: str
    commit: str
    created_at: str
    tarball_sha256: str
    tarball_bytes: int
    files: dict[str, str]
    wheels: dict[str, str]
    roles: dict[str, dict[str, Any]]
    closed: tuple[str, ...] = ()


def encode(manifest: Manifest) -> bytes:
    said = asdict(manifest)
    if not manifest.closed:
        del said["closed"]  # then it is, byte for byte, what it was before there were windows
    return json.dumps(said, sort_keys=True, separators=(",", ":")).encode()


def decode(body: bytes) -> Manifest:
    """The inverse of `encode`. BadManifest."""
    try:
        said = json.loads(body)
        manifest = Manifest(**{**said, "closed": tuple(said.get("closed", ()))})
        _check(manifest)
        if manifest.release != release_id(manifest.version, manifest.tarball_sha256):
            raise BadManifest(
                f"the manifest of {manifest.release} doesn't fit its own digest",
                next_step="publish the release again",
            )
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BadManifest(
            "a manifest can't be read", why=str(error), next_step="publish the release again"
        ) from error
    return manifest


def _check(manifest: Manifest) -> None:
    """TypeError, ValueError."""
    for field in fields(manifest):
        if field.type == "str" and not isinstance(getattr(manifest, field.name), str):
            raise TypeError(f"{field.name} must be a text")
    for name, kind in (("files", str), ("wheels", str), ("roles", dict)):
        named = getattr(manifest, name)
        if not isinstance(named, dict) or not all(isinstance(v, kind) for v in named.values()):
            raise TypeError(f"{name} must be a mapping of {kind.__name__}")
    for window in manifest.closed:
        check_window(window)
    if manifest.tarball_bytes < 0:
        raise ValueError("tarball_bytes must not be negative")


def release_id(version: str, tarball_sha256: str) -> str:
    return f"{version}-{tarball_sha256[:12]}"
