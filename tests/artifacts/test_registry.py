"""The registry: published once, fetched whole, believed only when signed, readable when away."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from artifacts.errors import EvctlError
from artifacts.manifest import BadManifest, Manifest, decode, encode, release_id
from artifacts.objects import ObjectConflict, ObjectStore, StoreUnreachable, open_objects
from artifacts.registry import (
    DigestMismatch,
    PublishedOtherwise,
    Registry,
    StaleChannel,
    UnknownRelease,
)
from artifacts.trust import NotTrusted, load_signing_key, new_signing_key, sign, verify

RACERS = 6
WITHIN_S = 30.0


class Bench:
    """A registry in a folder, who signs for it, and releases of random bytes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "registry"
        self.store.mkdir()
        self.cache = folder / "cache"
        self.key = folder / "signing.key"
        self.trust = {"k1": new_signing_key(self.key)}
        self.objects = open_objects(f"file://{self.store}")
        self.registry = Registry(self.objects, self.trust)
        self.cached = Registry(self.objects, self.trust, self.cache)

    def release(self, version: str = "1.0.0", size: int = 3_000_000) -> tuple[Path, Manifest]:
        body = os.urandom(size)
        digest = hashlib.sha256(body).hexdigest()
        release = release_id(version, digest)
        tarball = self.folder / f"{release}.tar"
        tarball.write_bytes(body)
        return tarball, Manifest(
            release, "shop", version, "3.11", "c" * 40, "2024-05-06T05:08:09Z", digest, size,
            {"app/a.py": "0" * 64}, {}, {"web": {"listen": 80}},
        )  # fmt: skip

    def published(self, version: str = "1.0.0") -> tuple[Path, Manifest]:
        tarball, manifest = self.release(version)
        assert self.registry.publish(tarball, manifest, self.key)
        return tarball, manifest

    def gone(self) -> None:
        self.store.rename(self.folder / "away")

    def back(self) -> None:
        (self.folder / "away").rename(self.store)

    def signed(self, kind: str, body: bytes) -> bytes:
        return sign(kind, body, load_signing_key(self.key), "k1")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


# Publishing.


def test_published_once(bench: Bench) -> None:
    tarball, manifest = bench.published()
    assert bench.registry.publish(tarball, manifest, bench.key) is False
    assert bench.registry.releases() == [manifest.release]
    assert bench.registry.manifest(manifest.release) == manifest
    assert bench.objects.list("") == [
        f"releases/{manifest.release}/manifest.json",
        f"releases/{manifest.release}/release.tar",
    ]


def test_the_same_content_of_another_commit_is_the_same_release(bench: Bench) -> None:
    tarball, manifest = bench.published()
    later = replace(manifest, commit="d" * 40, created_at="2025-01-01T00:00:00Z")
    assert bench.registry.publish(tarball, later, bench.key) is False
    assert bench.registry.manifest(manifest.release) == manifest


def test_published_otherwise(bench: Bench) -> None:
    tarball, manifest = bench.published()
    other = replace(manifest, roles={"web": {"listen": 81}})
    with pytest.raises(PublishedOtherwise) as caught:
        bench.registry.publish(tarball, other, bench.key)
    assert caught.value.exit_code == 4
    assert bench.registry.manifest(manifest.release) == manifest


def test_a_tarball_that_isnt_the_manifests_is_not_published(bench: Bench) -> None:
    tarball, manifest = bench.release()
    tarball.write_bytes(b"another")
    with pytest.raises(DigestMismatch):
        bench.registry.publish(tarball, manifest, bench.key)
    assert bench.objects.list("") == []


def test_the_manifest_is_the_publication(bench: Bench) -> None:
    """A publication that was cut short is none, and can be taken up again."""
    tarball, manifest = bench.release()
    bench.objects.put(f"releases/{manifest.release}/release.tar", b"half of i")
    assert bench.registry.releases() == []
    with pytest.raises(UnknownRelease):
        bench.registry.manifest(manifest.release)
    assert bench.registry.publish(tarball, manifest, bench.key) is True
    bench.registry.fetch(manifest.release, bench.folder / "got.tar")
    assert (bench.folder / "got.tar").read_bytes() == tarball.read_bytes()


def test_a_key_that_nobody_trusts_publishes_nothing(bench: Bench) -> None:
    tarball, manifest = bench.release()
    new_signing_key(bench.folder / "other.key")
    with pytest.raises(NotTrusted):
        bench.registry.publish(tarball, manifest, bench.folder / "other.key")
    assert bench.objects.list("") == []


def test_of_many_that_publish_the_same_one_does(bench: Bench) -> None:
    tarball, manifest = bench.release(size=1000)
    did = together(lambda _: bench.registry.publish(tarball, manifest, bench.key))
    assert sorted(did) == [False] * (RACERS - 1) + [True]


def together(attempt: object) -> list[object]:
    """What each returned, or the EvctlError that it raised."""
    gate = threading.Barrier(RACERS)
    answers: list[object] = []

    def run(number: int) -> None:
        gate.wait(WITHIN_S)
        try:
            answers.append(attempt(number))  # type: ignore[operator]
        except EvctlError as error:
            answers.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(RACERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WITHIN_S)
        assert not thread.is_alive()
    assert len(answers) == RACERS
    return answers


# Fetching.


class Counting:
    """The store itself, counting which bytes it hands out; it may break off."""

    def __init__(self, objects: ObjectStore, cut_after: int | None = None) -> None:
        self._objects = objects
        self.cut_after = cut_after
        self.offsets: list[int] = []
        self.url = objects.url
        self.get, self.size = objects.get, objects.size
        self.put, self.list = objects.put, objects.list

    def read(self, key: str, offset: int = 0) -> Iterator[bytes]:
        self.offsets.append(offset)
        for number, chunk in enumerate(self._objects.read(key, offset)):
            if number == self.cut_after:
                raise StoreUnreachable("the line is cut")
            yield chunk


def test_a_fetch_goes_on_where_it_stopped(bench: Bench) -> None:
    tarball, manifest = bench.published()
    store = Counting(bench.objects, cut_after=1)
    registry = Registry(store, bench.trust)
    got = bench.folder / "deep" / "got.tar"
    for _ in range(2):
        with pytest.raises(StoreUnreachable):
            registry.fetch(manifest.release, got)
        assert not got.exists()
    store.cut_after = None
    registry.fetch(manifest.release, got)
    assert got.read_bytes() == tarball.read_bytes()
    assert store.offsets == [0, 1 << 20, 2 << 20]
    assert list(got.parent.iterdir()) == [got]


@pytest.mark.parametrize("left", ["got.tar.part", "got.tar"])
def test_what_an_earlier_attempt_left_whole_is_enough(bench: Bench, left: str) -> None:
    tarball, manifest = bench.published()
    store = Counting(bench.objects)
    (bench.folder / left).write_bytes(tarball.read_bytes())
    assert Registry(store, bench.trust).fetch(manifest.release, bench.folder / "got.tar") == 0
    assert (bench.folder / "got.tar").read_bytes() == tarball.read_bytes()
    assert store.offsets == []


@pytest.mark.parametrize("fault", ["changed", "longer", "much longer", "shorter", "empty"])
def test_another_tarball_is_removed(bench: Bench, fault: str) -> None:
    tarball, manifest = bench.published()
    body = tarball.read_bytes()
    wrong = {
        "changed": b"x" + body[1:],
        "longer": body + b"x",
        "much longer": body * 4,
        "shorter": body[:-1],
        "empty": b"",
    }[fault]
    bench.objects.put(f"releases/{manifest.release}/release.tar", wrong)
    got = bench.folder / "out/got.tar"
    with pytest.raises(DigestMismatch) as caught:
        bench.registry.fetch(manifest.release, got)
    assert caught.value.exit_code == 4
    assert list(got.parent.iterdir()) == []


@pytest.mark.parametrize("left", ["got.tar.part", "got.tar"])
@pytest.mark.parametrize("part", [b"another release", b"x" * 4_000_000], ids=["short", "long"])
def test_what_an_earlier_attempt_left_of_something_else_is_removed(
    bench: Bench, part: bytes, left: str
) -> None:
    """A power cut can make anything of it. The next try begins anew."""
    tarball, manifest = bench.published()
    got = bench.folder / "out/got.tar"
    got.parent.mkdir()
    got.with_name(left).write_bytes(part)
    with pytest.raises(DigestMismatch):
        bench.registry.fetch(manifest.release, got)
    assert list(got.parent.iterdir()) == []
    assert bench.registry.fetch(manifest.release, got) == manifest.tarball_bytes
    assert got.read_bytes() == tarball.read_bytes()


# Names.


def test_an_unknown_release_names_the_nearest(bench: Bench) -> None:
    with pytest.raises(UnknownRelease, match="none at all"):
        bench.registry.manifest("1.0.0-aaaaaaaaaaaa")
    names = [bench.published(version)[1].release for version in ("1.0.0", "1.1.0", "2.0.0")]
    with pytest.raises(UnknownRelease) as caught:
        bench.registry.manifest(names[1][:-2] + "zz")
    assert caught.value.why.startswith(f"the nearest: {names[1]}")
    assert caught.value.exit_code == 2
    for attempt in (bench.cached.manifest, lambda r: bench.cached.fetch(r, bench.folder / "x")):
        with pytest.raises(UnknownRelease):
            attempt("1.0")


@pytest.mark.parametrize("release", ["", ".", "..", "../../victim", "/etc/passwd", "a/b", "a\0b"])
def test_a_release_that_is_no_name_touches_no_file(bench: Bench, release: str) -> None:
    victim = bench.folder / "victim.json"
    victim.write_text("mine")
    (bench.cache / "manifests").mkdir(parents=True)
    with pytest.raises(UnknownRelease):
        bench.cached.manifest(release)
    assert victim.read_text() == "mine"


# A registry that doesn't answer.


def test_an_unreachable_registry(bench: Bench) -> None:
    tarball, manifest = bench.published()
    bench.gone()
    got = bench.folder / "got.tar"
    for attempt in (
        lambda: bench.cached.manifest(manifest.release),
        lambda: bench.cached.fetch(manifest.release, got),
        lambda: bench.cached.channel("stable"),
        lambda: bench.cached.publish(tarball, manifest, bench.key),
        lambda: bench.cached.set_channel("stable", {}, bench.key),
        bench.cached.releases,
    ):
        with pytest.raises(StoreUnreachable) as caught:
            attempt()
        assert caught.value.exit_code == 7


def test_the_cache_answers_while_it_is_away(bench: Bench) -> None:
    _, manifest = bench.published()
    bench.registry.set_channel("stable", {"web": manifest.release}, bench.key)
    bench.cached.manifest(manifest.release)
    bench.cached.channel("stable")
    bench.gone()
    assert bench.cached.manifest(manifest.release) == manifest
    assert bench.cached.channel("stable") == {"web": manifest.release}
    with pytest.raises(StoreUnreachable):
        bench.registry.manifest(manifest.release)


def test_a_cache_that_cannot_be_used_keeps_nobody_from_anything(bench: Bench) -> None:
    _, manifest = bench.published()
    bench.registry.set_channel("stable", {"web": manifest.release}, bench.key)
    bench.cache.write_text("a file, where its folders would be")
    assert bench.cached.manifest(manifest.release) == manifest
    assert bench.cached.channel("stable") == {"web": manifest.release}


@pytest.mark.parametrize("damage", ["garbage", "another release", "not a manifest", "empty"])
def test_a_damaged_cache_is_asked_anew(bench: Bench, damage: str) -> None:
    _, manifest = bench.published()
    _, other = bench.published("0.9.0")
    bench.cached.manifest(manifest.release)
    bench.cached.manifest(other.release)
    kept = bench.cache / "manifests" / f"{manifest.release}.json"
    kept.write_bytes(
        {
            "garbage": b"\xff",
            "another release": (bench.cache / "manifests" / f"{other.release}.json").read_bytes(),
            "not a manifest": bench.signed("manifest", b"{}"),
            "empty": b"",
        }[damage]
    )
    assert bench.cached.manifest(manifest.release) == manifest
    bench.gone()
    assert bench.cached.manifest(manifest.release) == manifest


# Whom it believes.


def test_a_tampered_manifest(bench: Bench) -> None:
    _, manifest = bench.published()
    _, other = bench.published("0.9.0")
    key = f"releases/{manifest.release}/manifest.json"
    right = json.loads(bench.objects.get(key).body)
    changed = replace(manifest, python="3.10")
    for wrong in (
        b"{}",
        b"",
        json.dumps(right | {"payload": "e30="}).encode(),
        json.dumps(right | {"signatures": {}}).encode(),
        json.dumps(right | {"kind": "channel"}).encode(),
        encode(changed),
        bench.objects.get(f"releases/{other.release}/manifest.json").body,
    ):
        bench.objects.put(key, wrong)
        for registry in (bench.registry, bench.cached):
            with pytest.raises(NotTrusted):
                registry.manifest(manifest.release)
            with pytest.raises(NotTrusted):
                registry.fetch(manifest.release, bench.folder / "got.tar")
    assert not list(bench.folder.rglob("got.tar*"))
    assert not (bench.cache / "manifests").exists()


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b"null", b"[" * 100_000, b'{"release": 1}'], ids=range(6)
)
def test_a_signed_manifest_that_is_none(bench: Bench, body: bytes) -> None:
    bench.objects.put("releases/1-0/manifest.json", bench.signed("manifest", body))
    with pytest.raises(BadManifest):
        bench.registry.manifest("1-0")


@pytest.mark.parametrize(
    "change",
    [{"files": 7}, {"files": {"a": 1}}, {"wheels": []}, {"roles": {"web": 1}},
     {"tarball_bytes": "9"}, {"tarball_bytes": -1}, {"python": None},
     {"closed": 5}, {"closed": ["Friday"]}],
    ids=str,
)  # fmt: skip
def test_a_signed_manifest_of_wrong_types(bench: Bench, change: dict[str, object]) -> None:
    _, manifest = bench.release(size=10)
    body = json.dumps(json.loads(encode(manifest)) | change).encode()
    bench.objects.put(f"releases/{manifest.release}/manifest.json", bench.signed("manifest", body))
    with pytest.raises(BadManifest):
        bench.registry.manifest(manifest.release)


def test_windows_travel_in_the_manifest_and_without_any_it_is_what_it_was(bench: Bench) -> None:
    _, manifest = bench.release(size=10)
    assert b"closed" not in encode(manifest)
    closed = replace(manifest, closed=("Fri 16:00 - Mon 07:00",))
    assert decode(encode(closed)) == closed


# Channels.


def test_a_channel_that_was_never_set(bench: Bench) -> None:
    assert bench.cached.channel("stable") == {}


def test_a_channel_is_set_and_set_again(bench: Bench) -> None:
    bench.registry.set_channel("stable", {"web": "1"}, bench.key)
    assert bench.cached.channel("stable") == {"web": "1"}
    bench.registry.set_channel("stable", {"web": "2", "api": "1"}, bench.key)
    assert bench.cached.channel("stable") == {"web": "2", "api": "1"}
    assert bench.registry.channel("beta") == {}
    assert bench.registry.releases() == []


def test_of_many_that_set_a_channel_one_wins_each_round(bench: Bench) -> None:
    wins = 0
    for _ in range(3):
        answers = together(
            lambda n: bench.registry.set_channel("stable", {"web": str(n)}, bench.key) or n
        )
        conflicts = [answer for answer in answers if isinstance(answer, EvctlError)]
        assert all(isinstance(error, ObjectConflict) for error in conflicts)
        # Whoever came after the winner had finished may have won too; never two from one state.
        wins += RACERS - len(conflicts)
        signed = bench.objects.get("channels/stable.json").body
        assert json.loads(verify("channel", signed, bench.trust))["serial"] == wins


def test_an_older_channel_is_not_believed(bench: Bench) -> None:
    """Its signature is right; whoever keeps the store could serve it for ever."""
    bench.registry.set_channel("stable", {"web": "1-vulnerable"}, bench.key)
    old = bench.objects.get("channels/stable.json").body
    bench.registry.set_channel("stable", {"web": "2"}, bench.key)
    assert bench.cached.channel("stable") == {"web": "2"}
    bench.objects.put("channels/stable.json", old)
    with pytest.raises(StaleChannel) as caught:
        bench.cached.channel("stable")
    assert caught.value.exit_code == 4
    # What was seen is kept; setting the channel goes beyond it.
    bench.gone()
    assert bench.cached.channel("stable") == {"web": "2"}
    bench.back()
    bench.cached.set_channel("stable", {"web": "3"}, bench.key)
    assert bench.cached.channel("stable") == {"web": "3"}


def test_a_cache_of_other_keys_counts_for_nothing(bench: Bench) -> None:
    """A registry made anew, with a key of its own, is not held to what came before."""
    for version in ("1", "2"):
        bench.cached.set_channel("stable", {"web": version}, bench.key)
        bench.cached.channel("stable")
    fresh = bench.folder / "fresh"
    fresh.mkdir()
    made = Bench(fresh)
    made.registry.set_channel("stable", {"web": "0"}, made.key)
    assert Registry(made.objects, made.trust, bench.cache).channel("stable") == {"web": "0"}


@pytest.mark.parametrize("fault", ["garbage", "another channel", "no channel", "not an object"])
def test_a_tampered_channel_never_reaches_the_cache(bench: Bench, fault: str) -> None:
    bench.registry.set_channel("stable", {"web": "1"}, bench.key)
    bench.registry.set_channel("beta", {"web": "2"}, bench.key)
    bench.cached.channel("stable")
    bench.objects.put(
        "channels/stable.json",
        {
            "garbage": b"{}",
            "another channel": bench.objects.get("channels/beta.json").body,
            "no channel": bench.signed("channel", b'{"name": "stable"}'),
            "not an object": bench.signed("channel", b"7"),
        }[fault],
    )
    with pytest.raises(NotTrusted):
        bench.cached.channel("stable")
    bench.gone()
    assert bench.cached.channel("stable") == {"web": "1"}


def test_a_channel_that_is_no_name(bench: Bench) -> None:
    (bench.cache / "channels").mkdir(parents=True)
    for name in ("", "../x", "a\0b"):
        assert bench.cached.channel(name) == {}
