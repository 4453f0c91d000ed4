"""From a tree to a release: the same on any machine, from a commit, and what it says it is."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

import pytest

from artifacts.app import App, load_app
from artifacts.manifest import Manifest, decode, encode
from artifacts.objects import open_objects
from artifacts.registry import Registry
from artifacts.release import build
from artifacts.tarball import unpack
from artifacts.tree import DirtyTree
from artifacts.trust import new_signing_key
from artifacts.wheels import WheelsFailed
from tests.artifacts.apps import EVCTL, FILES, PACKAGED, git, shop, write

REPOSITORY = Path(__file__).parent.parent.parent


def made(app: App, out: Path, allow_dirty: bool = False) -> tuple[Path, Manifest]:
    return build(
        app,
        out,
        wheels_cache=out / "wheels",
        allow_dirty=allow_dirty,
        progress=lambda line: None,
    )


def test_two_clones_make_the_same_release(tmp_path: Path) -> None:
    app = shop(tmp_path / "one")
    git(tmp_path, "clone", "-q", str(app.root), str(tmp_path / "two"), umask=0o077)
    first = made(app, tmp_path / "out1")
    second = made(load_app(tmp_path / "two/evctl.yaml"), tmp_path / "out2")
    assert first[0].read_bytes() == second[0].read_bytes()
    assert encode(first[1]) == encode(second[1])
    assert first[0].name == second[0].name


def test_the_manifest_says_what_is_in_it(tmp_path: Path) -> None:
    app = shop(tmp_path / "one")
    tarball, manifest = made(app, tmp_path / "out")
    body = tarball.read_bytes()
    digest = hashlib.sha256(body).hexdigest()
    assert tarball == tmp_path / f"out/1.0.0-{digest[:12]}.tar"
    assert manifest.release == f"1.0.0-{digest[:12]}"
    assert (manifest.tarball_sha256, manifest.tarball_bytes) == (digest, len(body))
    assert (manifest.app, manifest.version, manifest.python) == ("shop", "1.0.0", "3.11")
    assert manifest.commit == git(app.root, "rev-parse", "HEAD").strip()
    assert manifest.created_at == "2024-05-06T05:08:09Z"
    assert manifest.wheels == {}
    assert manifest.files == {
        f"app/{name}": hashlib.sha256(FILES[name].encode()).hexdigest() for name in PACKAGED
    }
    assert manifest.roles["web"]["command"] == ["python", "-m", "shop"]
    assert decode(encode(manifest)) == manifest
    with tarfile.open(tarball) as archive:
        assert archive.getnames() == [f"app/{name}" for name in PACKAGED]
    assert [path.name for path in (tmp_path / "out").iterdir()] == [tarball.name]


def test_a_changed_file_is_another_release(tmp_path: Path) -> None:
    app = shop(tmp_path / "one")
    first = made(app, tmp_path / "out")[1]
    write(app.root, {"shop/__main__.py": "print('closed')\n"})
    git(app.root, "commit", "-q", "-a", "-m", "closed")
    assert made(app, tmp_path / "out")[1].release != first.release


def test_a_dirty_tree_is_released_only_when_allowed(tmp_path: Path) -> None:
    app = shop(tmp_path / "one")
    clean = made(app, tmp_path / "out")[1]
    write(app.root, {"shop/__main__.py": "changed\n", "shop/untracked.py": ""})
    with pytest.raises(DirtyTree):
        made(app, tmp_path / "refused")
    assert not (tmp_path / "refused").exists()
    dirty = made(app, tmp_path / "out", allow_dirty=True)[1]
    assert dirty.release != clean.release
    assert "app/shop/untracked.py" not in dirty.files
    assert dirty.files["app/shop/__main__.py"] == hashlib.sha256(b"changed\n").hexdigest()


def test_a_lock_travels_with_the_release(tmp_path: Path) -> None:
    evctl = EVCTL + "requirements: app.lock\n"
    app = shop(tmp_path / "one", FILES | {"evctl.yaml": evctl, "app.lock": "# nothing\n"})
    _, manifest = made(app, tmp_path / "out")
    assert manifest.files["requirements.lock"] == hashlib.sha256(b"# nothing\n").hexdigest()


def test_a_lock_that_cant_be_had(tmp_path: Path) -> None:
    evctl = EVCTL + "requirements: app.lock\n"
    app = shop(tmp_path / "one", FILES | {"evctl.yaml": evctl, "app.lock": "no hash\n"})
    with pytest.raises(WheelsFailed):
        made(app, tmp_path / "out")
    assert list(tmp_path.glob("out/*.tar")) == []


def test_from_a_tree_through_a_registry_to_a_folder(tmp_path: Path) -> None:
    """All of it: made, published, fetched from elsewhere, unpacked, and the same."""
    app = shop(tmp_path / "one")
    tarball, manifest = made(app, tmp_path / "out")
    (tmp_path / "registry").mkdir()
    trust = {"k1": new_signing_key(tmp_path / "key")}
    registry = Registry(open_objects(f"file://{tmp_path}/registry"), trust)
    registry.publish(tarball, manifest, tmp_path / "key")
    got = tmp_path / "got.tar"
    registry.fetch(manifest.release, got)
    unpack(got, registry.manifest(manifest.release), tmp_path / "dest")
    for name in PACKAGED:
        assert (tmp_path / "dest/app" / name).read_text() == FILES[name]


def test_the_repositorys_own_release_and_its_wheels(tmp_path: Path) -> None:
    """The event store's real lock: every wheel is one that the lock names by hash."""
    app = load_app(REPOSITORY / "evctl.yaml")
    try:
        _, manifest = build(
            app,
            tmp_path,
            wheels_cache=REPOSITORY / "build/cache/wheels",
            allow_dirty=True,
            progress=lambda line: None,
        )
    except WheelsFailed as error:
        pytest.skip(f"not run: {error.why}")
    assert app.requirements is not None
    lock = app.requirements.read_text()
    assert len(manifest.wheels) == lock.count("==")
    for name, digest in manifest.wheels.items():
        assert f"--hash=sha256:{digest}" in lock, name
    assert "app/eventstore/__main__.py" in manifest.files
    assert set(manifest.roles) == set(app.roles)
