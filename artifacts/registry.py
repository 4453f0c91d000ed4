"""Releases and channels in an object store.

releases/<id>/release.tar      the tarball, written first
releases/<id>/manifest.json    signed; written last and only if absent: this is the publication
channels/<name>.json           signed: role → release; changed by compare-and-swap only
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from artifacts.errors import EvctlError
from artifacts.manifest import BadManifest, Manifest, decode, encode
from artifacts.objects import ObjectConflict, ObjectMissing, ObjectStore, StoreUnreachable
from artifacts.trust import NotTrusted, key_id_of, load_signing_key, sign, verify

MANIFEST_KIND = "manifest"
CHANNEL_KIND = "channel"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Channel:
    """serial: higher with every change. roles: role → release."""

    name: str
    serial: int
    roles: dict[str, str]


class UnknownRelease(EvctlError):
    code = "E2102"
    exit_code = 2
    explanation = "No release with this id is published in the registry."


class DigestMismatch(EvctlError):
    code = "E2103"
    exit_code = 4
    explanation = (
        "A tarball isn't what its manifest describes. What was fetched was removed and nothing of "
        "it unpacked; what was to be published was not. Either the registry is damaged, or someone "
        "changed the tarball."
    )


class PublishedOtherwise(EvctlError):
    code = "E2105"
    exit_code = 4
    explanation = (
        "A release with this id is published already, with another content. Releases never change."
    )


class StaleChannel(EvctlError):
    code = "E2110"
    exit_code = 4
    explanation = (
        "A channel is older than one that was seen here before, although its signature is right: "
        "someone put an old document back, perhaps to keep a fleet on a release with a known "
        "fault. A registry that was restored from a backup looks the same."
    )


class Registry:
    """A registry. With a cache folder, manifests, which never change, and the last channels seen
    can be read while the registry doesn't answer."""

    def __init__(
        self, objects: ObjectStore, trust: Mapping[str, str], cache: Path | None = None
    ) -> None:
        self._objects = objects
        self._trust = trust
        self._cache = cache

    def publish(self, tarball: Path, manifest: Manifest, signing_key: Path) -> bool:
        """True: published. False: it was already, the same."""
        if _digest(tarball) != manifest.tarball_sha256:
            raise DigestMismatch(
                f"{tarball} isn't what the manifest of {manifest.release} says",
                why="another sha256",
                next_step="make the release again",
            )
        key = load_signing_key(signing_key)
        signed = sign(MANIFEST_KIND, encode(manifest), key, key_id_of(key, self._trust))
        if self._is_published(manifest):
            return False
        self._objects.put(_tarball_key(manifest.release), tarball)
        try:
            self._objects.put(_manifest_key(manifest.release), signed, if_absent=True)
        except ObjectConflict:
            return not self._is_published(manifest)
        return True

    def _is_published(self, manifest: Manifest) -> bool:
        try:
            published = self._objects.get(_manifest_key(manifest.release)).body
        except ObjectMissing:
            return False
        before = decode(verify(MANIFEST_KIND, published, self._trust))
        if before != replace(manifest, commit=before.commit, created_at=before.created_at):
            raise PublishedOtherwise(
                f"{manifest.release} is published already, with another manifest",
                why="its roles or files differ although the tarball is the same",
                next_step="change the app's version and release again",
            )
        return True

    def manifest(self, release: str) -> Manifest:
        """A release's manifest, its signature verified. UnknownRelease, NotTrusted."""
        kept = self._kept("manifests", release)
        if kept:
            # None there; damaged, or of a key that is no longer trusted; not to be read: ask anew.
            with suppress(OSError, NotTrusted, BadManifest):
                return self._manifest(kept.read_bytes(), release)
        try:
            signed = self._objects.get(_manifest_key(release)).body
        except ObjectMissing as error:
            raise self._unknown(release) from error
        manifest = self._manifest(signed, release)
        if kept:
            _keep(kept, signed)
        return manifest

    def _manifest(self, signed: bytes, release: str) -> Manifest:
        manifest = decode(verify(MANIFEST_KIND, signed, self._trust))
        if manifest.release != release:
            raise NotTrusted(
                f"under {release} lies the manifest of {manifest.release}",
                next_step="publish the release again",
            )
        return manifest

    def _kept(self, kind: str, name: str) -> Path | None:
        """Where the cache has it. None without a cache, or for what can't be a name."""
        if self._cache is None or not _NAME.fullmatch(name):
            return None
        return self._cache / kind / f"{name}.json"

    def _unknown(self, release: str) -> UnknownRelease:
        near = difflib.get_close_matches(release, self.releases(), n=3, cutoff=0.0)
        return UnknownRelease(
            f"no release {release} in {self._objects.url}",
            why=f"the nearest: {', '.join(near)}" if near else "it has none at all",
            next_step="evctl releases lists them; evctl release makes one",
        )

    def fetch(self, release: str, dest: Path) -> int:
        """The verified tarball at `dest`; how many bytes were read for it. Goes on where an earlier
        attempt stopped, and reads nothing when that had all.

        DigestMismatch: then nothing is left of it.
        """
        manifest = self.manifest(release)
        partial = dest.with_name(f"{dest.name}.part")
        dest.parent.mkdir(parents=True, exist_ok=True)
        if dest.is_file():  # nothing was synced: a power cut may have spoiled it since
            dest.rename(partial)
        with partial.open("ab") as file:
            had_bytes = file.tell()
            if had_bytes < manifest.tarball_bytes:
                for chunk in self._objects.read(_tarball_key(release), had_bytes):
                    file.write(chunk)
                    if file.tell() > manifest.tarball_bytes:
                        break
            size = file.tell()
        if _digest(partial) != manifest.tarball_sha256:
            partial.unlink()
            raise DigestMismatch(
                f"the tarball of {release} isn't what its manifest says",
                why=f"{size} of {manifest.tarball_bytes} bytes, and another sha256",
                next_step="try again; if it stays so, make and publish a new release",
            )
        partial.rename(dest)
        return size - had_bytes

    def releases(self) -> list[str]:
        """Ids of all published releases."""
        keys = self._objects.list("releases/")
        return [key.split("/")[1] for key in keys if key.endswith("/manifest.json")]

    def tarball_bytes(self, release: str) -> int:
        """How large the tarball is that lies there. ObjectMissing."""
        return self._objects.size(_tarball_key(release))

    def channels(self) -> list[str]:
        """Names of all channels that were ever set."""
        keys = self._objects.list("channels/")
        return [key.removeprefix("channels/").removesuffix(".json") for key in keys]

    def channel(self, name: str) -> dict[str, str]:
        """Role → release; empty for a channel that was never set. With a cache: the last one seen,
        when the registry doesn't answer, and StaleChannel when it answers with an older one."""
        seen = self._seen(name)  # before asking: whoever asks later may see a newer one first
        try:
            signed = self._objects.get(_channel_key(name)).body
        except ObjectMissing:
            return {}
        except StoreUnreachable:
            if seen is None:
                raise
            return seen.roles
        said = self._channel(signed, name)
        kept = self._kept("channels", name)
        if kept and seen and said.serial < seen.serial:
            raise StaleChannel(
                f"channel {name} is older than what was seen before",
                why=f"its serial is {said.serial}, after {seen.serial}",
                next_step=f"find out who put it there; if it was you, delete {kept}",
            )
        if kept and said != seen:
            _keep(kept, signed)
        return said.roles

    def _seen(self, name: str) -> Channel | None:
        """The channel in the cache, if there is one that can be believed."""
        kept = self._kept("channels", name)
        try:
            return self._channel(kept.read_bytes(), name) if kept else None
        except (OSError, NotTrusted):
            return None

    def set_channel(self, name: str, roles: Mapping[str, str], signing_key: Path) -> None:
        """Point a channel elsewhere. ObjectConflict when someone else did so at the same time."""
        key = load_signing_key(signing_key)
        seen = self._seen(name)
        etag, serial = None, seen.serial if seen else 0
        try:
            before = self._objects.get(_channel_key(name))
        except ObjectMissing:
            pass
        else:
            etag, serial = before.etag, max(serial, self._channel(before.body, name).serial)
        payload = {"name": name, "serial": serial + 1, "roles": dict(roles)}
        body = json.dumps(payload, sort_keys=True).encode()
        signed = sign(CHANNEL_KIND, body, key, key_id_of(key, self._trust))
        self._objects.put(_channel_key(name), signed, if_match=etag, if_absent=etag is None)

    def _channel(self, signed: bytes, name: str) -> Channel:
        payload = verify(CHANNEL_KIND, signed, self._trust)
        try:
            channel = Channel(**json.loads(payload))
            channel = Channel(str(channel.name), int(channel.serial), dict(channel.roles))
        except (ValueError, TypeError, RecursionError) as error:
            raise NotTrusted(
                f"channel {name} can't be read", why=str(error), next_step="set it again"
            ) from error
        if channel.name != name:
            raise NotTrusted(
                f"under channel {name} lies channel {channel.name}", next_step="set it again"
            )
        return channel


def _keep(path: Path, body: bytes) -> None:
    """Where there is room, and it is allowed: a full disk keeps nobody from a rollback."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        aside.write_bytes(body)
        aside.rename(path)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _tarball_key(release: str) -> str:
    return f"releases/{release}/release.tar"


def _manifest_key(release: str) -> str:
    return f"releases/{release}/manifest.json"


def _channel_key(name: str) -> str:
    return f"channels/{name}.json"
