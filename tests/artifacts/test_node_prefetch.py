"""Prefetch: a real release from a real registry, and all that can go wrong on the way."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import time
import zipfile
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from artifacts import disk, venv
from artifacts.install import modules, role_script
from artifacts.node_errors import InstallFailed, InterpreterMissing
from artifacts.objects import open_objects
from artifacts.registry import Registry
from tests.contracts.process_apps import REPOSITORY
from tests.foreign.lone_node import LoneNode, lone_node

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def node() -> Iterator[LoneNode]:
    with lone_node() as made:
        yield made


def test_a_release_is_unpacked_whole_and_read_only(node: LoneNode) -> None:
    release = node.publish("1.0.0")
    result = node.done("prefetch", release=release)
    assert result["already"] is False
    assert result["fetched_bytes"] == node.layout.manifest(release).tarball_bytes

    folder = node.layout.release(release)
    assert {path.name for path in folder.iterdir()} == {"app", "venv", "roles", "manifest.json"}
    for path in folder.rglob("*"):
        if not path.is_symlink():
            mode = stat.S_IMODE(path.stat().st_mode)
            assert mode & 0o222 == (0o200 if path.is_dir() else 0), path
            assert mode & 0o004, path
    python = (folder / "venv/bin/python").resolve()
    assert os.access(python, os.X_OK)
    assert (folder / "roles/web").read_text() == (
        f"#!/bin/sh\ncd {folder}/app && exec {folder}/venv/bin/python -m web\n"
    )
    assert list((node.layout.cache / "tarballs").iterdir()) == []
    assert node.done("status")["unpacked"] == [release]


def test_the_second_time_no_registry_is_asked(node: LoneNode) -> None:
    release = node.publish("1.0.0")
    node.done("prefetch", release=release)
    with node.registry_gone():
        result = node.done("prefetch", release=release)
    assert (result["already"], result["fetched_bytes"]) == (True, 0)


def test_an_unknown_release_and_a_registry_that_is_gone(node: LoneNode) -> None:
    known = node.publish("1.0.0")
    error = node.error("prefetch", release="1.0.1-0123456789ab")
    assert error["code"] == "E2102"
    assert known in error["why"]
    with node.registry_gone():
        assert node.error("prefetch", release=known)["code"] == "E2003"
    assert node.done("status")["unpacked"] == []


def test_a_changed_tarball_is_refused_and_nothing_is_left(node: LoneNode) -> None:
    release = node.publish("1.0.0")
    tarball = node.registry / "releases" / release / "release.tar"
    tarball.chmod(0o644)
    body = bytearray(tarball.read_bytes())
    body[600] ^= 1
    tarball.write_bytes(body)
    assert node.error("prefetch", release=release)["code"] == "E2103"
    assert list(node.layout.releases.iterdir()) == []
    assert list((node.layout.cache / "tarballs").iterdir()) == []


def test_a_release_that_no_trusted_key_signed_is_refused(node: LoneNode) -> None:
    release = node.publish("1.0.0")
    node.configure(trust={"k1": "A" * 43 + "="})
    error = node.error("prefetch", release=release)
    assert (error["code"], error["exit"]) == ("E2201", "4")


@pytest.mark.parametrize("release", ["../../../etc", "1.0.0", "", "1.0-0123456789AB", "a\nb"])
def test_what_is_no_release_id_touches_nothing(node: LoneNode, release: str) -> None:
    assert node.error("prefetch", release=release)["code"] == "E1005"
    assert not node.layout.releases.exists()


def test_an_interrupted_prefetch_is_made_anew(node: LoneNode) -> None:
    release = node.publish("1.0.0")
    rest = node.layout.release(release)
    (rest / "app/web").mkdir(parents=True)
    (rest / "app/web/__main__.py").write_text("half a fi")
    (rest / "app/web/__main__.py").chmod(0o444)
    (rest / "app/web").chmod(0o555)
    assert node.done("status")["unpacked"] == []
    assert node.error("activate", release=release)["code"] == "E1201"

    assert node.done("prefetch", release=release)["already"] is False
    assert "import asyncio" in (rest / "app/web/__main__.py").read_text()


def test_a_killed_prefetch_leaves_nothing_that_looks_whole(node: LoneNode) -> None:
    tree, begun, go = node.base / "tree", node.base / "begun", node.base / "go"
    shutil.copytree(Path(__file__).parents[1] / "foreign", tree)
    (tree / "web/__init__.py").write_text(
        "import pathlib, time\n"
        f"pathlib.Path({str(begun)!r}).touch()\n"
        f"while not pathlib.Path({str(go)!r}).exists():\n"
        "    time.sleep(0.02)\n"
    )
    release = node.publish_tree(tree, "1.0.0")
    ask = f"node.run('prefetch', {str(node.config)!r}, release={release!r})"
    prefetching = subprocess.Popen(
        (sys.executable, "-c", f"from artifacts import node; {ask}"), cwd=REPOSITORY
    )
    deadline = time.monotonic() + 30
    while not begun.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    prefetching.kill()
    prefetching.wait(10)
    go.touch()

    assert node.layout.release(release).is_dir()
    assert node.done("status")["unpacked"] == []
    assert node.error("activate", release=release)["code"] == "E1201"
    assert node.done("prefetch", release=release)["already"] is False
    assert node.done("converge", release=release)["to"] == release


def test_a_fetch_goes_on_where_it_stopped(node: LoneNode) -> None:
    release = node.publish("1.0.0")
    whole = (node.registry / "releases" / release / "release.tar").read_bytes()
    tarballs = node.layout.cache / "tarballs"
    tarballs.mkdir(parents=True)
    (tarballs / f"{release}.tar.part").write_bytes(whole[:5000])
    assert node.done("prefetch", release=release)["fetched_bytes"] == len(whole) - 5000


def test_no_room_is_told_before_anything_is_fetched(
    node: LoneNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = node.publish("1.0.0")
    needed = disk.needed_bytes(
        (node.registry / "releases" / release / "release.tar").stat().st_size
    )
    # The one edge that is not real here; the next test fills a real disk.
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(needed, 1, needed - 1))
    error = node.error("prefetch", release=release)
    assert error["code"] == "E1101"
    assert f"it needs {needed} bytes, {needed - 1} are free" in error["why"]
    assert list((node.layout.cache / "tarballs").iterdir()) == []


@contextlib.contextmanager
def small_disk(at: Path) -> Iterator[Path]:
    """A real disk of 64 MB. Skips where none may be mounted."""
    at.mkdir(parents=True)
    mount = ("mount", "-t", "tmpfs", "-o", "size=64m", "evctl-test", str(at))
    if subprocess.run(mount, check=False, timeout=10).returncode != 0:
        pytest.skip("not run: no right to mount a small disk")
    try:
        yield at
    finally:
        subprocess.run(("umount", "--lazy", str(at)), check=True, timeout=10)


def fill(disk_: Path, leave_bytes: int) -> None:
    with (disk_ / "filler").open("ab") as filler:
        while (free := shutil.disk_usage(disk_).free) > leave_bytes:
            filler.write(bytes(min(1 << 20, free - leave_bytes)))
            filler.flush()


@pytest.mark.parametrize("checked", [True, False], ids=["seen before", "midway"])
def test_a_full_disk_leaves_what_serves_untouched(
    node: LoneNode, monkeypatch: pytest.MonkeyPatch, checked: bool
) -> None:
    """A real small disk. It is seen before anything is fetched; or, when that check is taken out,
    it fills up in the middle, at any of the steps."""
    new = node.publish("1.1.0")
    with small_disk(node.root / "opt/evctl") as opt:
        old = node.publish("1.0.0")
        node.done("converge", release=old)
        before = node.done("status")
        if not checked:
            monkeypatch.setattr(disk, "check_room", lambda *_: None)
        for leave_bytes in (0, 4_096, 20_000, 40_000, 60_000, 80_000, 100_000):
            (opt / "filler").unlink(missing_ok=True)
            fill(opt, leave_bytes)
            for function in ("prefetch", "converge"):
                error = node.error(function, release=new)
                assert (error["code"], error["exit"]) == ("E1101", "6"), error
                assert new in error["what"]
                assert ("it needs" if checked else "it filled up midway") in error["why"]
                assert "evrelease.prune" in error["next"]
            assert [path.name for path in (opt / "releases").iterdir()] == [old]
            assert list((opt / "cache/tarballs").iterdir()) == []
            after = node.done("status")
            changing = {"disk_free_bytes": 0}
            assert after | changing == before | changing  # the same process, never restarted
            assert node.answers() == old
        (opt / "filler").unlink()
        assert node.done("converge", release=new)["to"] == new
        node.engine.down()


def test_a_full_disk_keeps_nobody_from_a_rollback_or_a_prune(node: LoneNode) -> None:
    node.configure(keep=0)
    with small_disk(node.root / "opt/evctl") as opt:
        spare, one, two = (node.publish(version) for version in ("0.9.0", "1.0.0", "1.1.0"))
        node.done("prefetch", release=spare)
        for release in (one, two):
            node.done("converge", release=release)
        fill(opt, 0)
        assert node.done("rollback")["to"] == one
        assert node.answers() == one
        assert sorted(node.done("prune", pinned=[])) == sorted([spare, two])
        assert shutil.disk_usage(opt).free > 0
        node.engine.down()


def hostile(node: LoneNode, release: str, **facts: Any) -> str:
    """Another release, signed as is right, whose tarball has one member with these facts."""
    registry = Registry(open_objects(f"file://{node.registry}"), node.trust)
    good = registry.manifest(release)
    tarball = node.base / "hostile.tar"
    with tarfile.open(tarball, "w", format=tarfile.GNU_FORMAT) as archive:
        member = tarfile.TarInfo("app/web/__main__.py")
        for fact, value in facts.items():
            setattr(member, fact, value)
        archive.addfile(member)
    digest = hashlib.sha256(tarball.read_bytes()).hexdigest()
    bad = f"6.6.6-{digest[:12]}"
    manifest = replace(
        good,
        release=bad,
        version="6.6.6",
        tarball_sha256=digest,
        tarball_bytes=tarball.stat().st_size,
        files=good.files | {member.name: hashlib.sha256(b"").hexdigest()},
    )
    registry.publish(tarball, manifest, node.key)
    return bad


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "is a link, a device"),
        ({"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"}, "is a link, a device"),
        ({"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3}, "is a link, a device"),
        ({"name": "/tmp/evctl-hostile"}, "has an absolute path"),
        ({"name": "app/../../../evctl-hostile"}, "has a path that climbs"),
    ],
    ids=["link", "hard link", "device", "absolute", "climbing"],
)
def test_a_hostile_archive_leaves_what_serves_untouched(
    node: LoneNode, facts: dict[str, Any], said: str
) -> None:
    """Signed and with the right digest: whoever makes releases isn't believed either."""
    old = node.publish("1.0.0")
    node.done("converge", release=old)
    before = node.done("status")
    bad = hostile(node, old, **facts)
    error = node.error("converge", release=bad)
    assert (error["code"], error["exit"]) == ("E2104", "4")
    assert said in error["what"]
    assert error["next"]
    assert [path.name for path in node.layout.releases.iterdir()] == [old]
    changing = {"disk_free_bytes": 0}
    assert node.done("status") | changing == before | changing
    assert node.answers() == old
    assert not Path("/tmp/evctl-hostile").exists()
    assert not list(node.base.rglob("evctl-hostile"))


def test_what_cannot_be_imported_is_refused(node: LoneNode) -> None:
    tree = node.base / "tree"
    shutil.copytree(Path(__file__).parents[1] / "foreign", tree)
    (tree / "web/__init__.py").write_text("import nothing_that_is_there\n")
    release = node.publish_tree(tree, "1.0.0")
    error = node.error("prefetch", release=release)
    assert error["code"] == "E1105"
    assert "nothing_that_is_there" in error["why"]
    assert node.done("status")["unpacked"] == []
    assert list(node.layout.releases.iterdir()) == []


def test_an_interpreter_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InterpreterMissing, match="no Python 9"):
        venv.interpreter("9.9", None)
    with pytest.raises(InterpreterMissing) as raised:
        venv.interpreter("3.11", tmp_path / "python")
    assert str(tmp_path / "python") in raised.value.why


def test_commands_of_an_installation() -> None:
    uv, release = "/bin/uv", Path("/r")
    assert venv.venv_command(uv, Path("/usr/bin/python3.11"), release / "venv") == (
        "/bin/uv", "venv", "--quiet", "--no-config", "--offline", "--no-python-downloads",
        "--python", "/usr/bin/python3.11", "/r/venv",
    )  # fmt: skip
    assert venv.install_command(uv, release / "venv", Path("/w"), release / "l") == (
        "/bin/uv", "pip", "install", "--quiet", "--no-config", "--offline", "--no-index",
        "--find-links", "/w", "--require-hashes",
        "--link-mode", "hardlink", "--python", "/r/venv/bin/python", "--requirements", "/r/l",
    )  # fmt: skip


def test_role_scripts() -> None:
    assert role_script(Path("/o p/r"), ("python", "-m", "web", "a b")) == (
        "#!/bin/sh\ncd '/o p/r/app' && exec '/o p/r/venv/bin/python' -m web 'a b'\n"
    )
    assert role_script(Path("/r"), ("./server", "$x")) == (
        "#!/bin/sh\ncd /r/app && exec ./server '$x'\n"
    )
    assert modules([("python", "-m", "a"), ("python", "b.py"), ("./c",)]) == {"a"}


def test_equal_wheels_are_linked_and_changed_ones_are_not_mixed_up(tmp_path: Path) -> None:
    """Two wheels of one name and version, rebuilt with another content, each to its release."""
    cache, wheels = tmp_path / "cache", tmp_path / "cache/wheels"
    cache.mkdir()
    installed = []
    for name, content in (("r1", "1"), ("r2", "1"), ("r3", "3")):
        release = tmp_path / name
        release.mkdir()
        shutil.rmtree(wheels, ignore_errors=True)
        wheels.mkdir()
        digest = _tiny_wheel(wheels, content)
        (release / "requirements.lock").write_text(f"tiny==1.0 --hash=sha256:{digest}\n")
        venv.build_venv(release, venv.interpreter("3.11", None), wheels, cache)
        (module,) = release.glob("venv/lib/python*/site-packages/tiny.py")
        installed.append(module)
    one, two, three = installed
    assert one.stat().st_ino == two.stat().st_ino
    assert [path.read_text() for path in installed] == ["VALUE = 1\n", "VALUE = 1\n", "VALUE = 3\n"]
    assert three.stat().st_ino != one.stat().st_ino


def test_byte_code_of_a_release_with_the_same_lock_is_taken_over(tmp_path: Path) -> None:
    cache, wheels = tmp_path / "cache", tmp_path / "cache/wheels"
    wheels.mkdir(parents=True)
    releases = [tmp_path / name for name in ("first", "stale", "other", "last")]
    compiled, inodes = [], []
    for number, release in enumerate(releases):
        release.mkdir()
        digest = _tiny_wheel(wheels, "2" if release.name == "other" else "1")
        (release / "requirements.lock").write_text(f"tiny==1.0 --hash=sha256:{digest}\n")
        others = releases[:number][::-1]
        venv.build_venv(release, venv.interpreter("3.11", None), wheels, cache, others)
        (module,) = release.glob("venv/lib/python*/site-packages/tiny.py")
        (byte_code,) = module.parent.glob("__pycache__/tiny.*.pyc")
        compiled.append(byte_code)
        inodes.append(byte_code.stat().st_ino)
        said = subprocess.run(
            [release / "venv/bin/python", "-c", "import tiny; print(tiny.VALUE, tiny.__cached__)"],
            capture_output=True, text=True, timeout=30, check=True,
        ).stdout  # fmt: skip
        assert said == f"{'2' if release.name == 'other' else '1'} {byte_code}\n"
        if release.name == "stale":  # byte code of another source, as Python sees it
            byte_code.unlink()
            byte_code.write_bytes(bytes(16))
    first, second, other, last = inodes
    assert second == first
    assert len({first, other, last}) == 3, "what didn't fit was compiled anew"
    assert compiled[1].read_bytes() == bytes(16), "and stays as it is where it was"


def test_a_wheel_with_another_hash_is_refused(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    _tiny_wheel(wheels, "1")
    (tmp_path / "requirements.lock").write_text(f"tiny==1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(InstallFailed) as raised:
        venv.build_venv(tmp_path, venv.interpreter("3.11", None), wheels, tmp_path)
    assert "hash" in raised.value.why.lower()


def _tiny_wheel(folder: Path, value: str) -> str:
    """A wheel by hand; its sha256. Its time in the folder is always the same, as in a release."""
    path = folder / "tiny-1.0-py3-none-any.whl"
    info = "tiny-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, content in {
            "tiny.py": f"VALUE = {value}\n",
            f"{info}/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": "",
        }.items():
            wheel.writestr(zipfile.ZipInfo(name), content)  # the same bytes at any time
    os.utime(path, (0, 0))
    return hashlib.sha256(path.read_bytes()).hexdigest()
