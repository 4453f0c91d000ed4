"""What was changed on a node by hand: found, and mended without anyone noticing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from artifacts import drift
from artifacts.drift import changed_files
from artifacts.manifest import Manifest, encode
from tests.foreign.lone_node import LoneNode, lone_node


@pytest.fixture(scope="module")
def made() -> Iterator[tuple[LoneNode, str, str]]:
    with lone_node() as node:
        yield node, node.publish("1.0.0"), node.publish("1.1.0")


@pytest.fixture
def node(made: tuple[LoneNode, str, str]) -> LoneNode:
    """It serves the second release, as it was installed; the first one served before."""
    node, old, new = made
    node.done("converge", release=old)
    node.done("converge", release=new)
    node.layout.set_last_good("web", old)
    node.done("mend")
    assert node.done("drift")["files"] == []
    return node


def _folder(node: LoneNode) -> Path:
    current = node.layout.current("web")
    assert current is not None
    return node.layout.release(current)


def _edit(path: Path) -> None:
    """As root does it: in place, whatever its modes."""
    path.chmod(0o644)
    path.write_text(path.read_text() + "\n# a hotfix\n")


def _packages(folder: Path) -> Path:
    return next(folder.glob("venv/lib/python*/site-packages"))


CHANGES = {
    "a file of the app": (
        lambda folder: _edit(folder / "app/web/__main__.py"), "app/web/__main__.py was changed"),
    "a file that is new": (
        lambda folder: (folder / "app/web/sitecustomize.py").write_text(""),
        "app/web/sitecustomize.py was added"),
    "a file that is gone": (
        lambda folder: (folder / "app/web/fault.txt").unlink(), "app/web/fault.txt is missing"),
    "what starts it": (lambda folder: _edit(folder / "roles/web"), "roles/web was changed"),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_found_and_mended(node, change):
    make, said = CHANGES[change]
    release = node.layout.current("web")
    make(_folder(node))
    found = node.done("drift")
    assert found["files"] == [said]
    assert (found["release"], found["current"], found["more"]) == (release, release, [])
    assert node.done("mend") == {"mended": release}
    assert node.done("drift")["files"] == []
    assert node.answers() == release
    assert node.running() == [release]
    assert node.done("mend") == {"mended": None}


def test_a_manifest_that_was_changed_with_it_hides_nothing(node):
    folder = _folder(node)
    _edit(folder / "app/web/__main__.py")
    (folder / "manifest.json").chmod(0o644)
    (folder / "manifest.json").write_text("{}")
    found = node.done("drift")["files"]
    assert found == ["app/web/__main__.py was changed", "manifest.json was changed"]
    release = node.layout.current("web")
    assert node.done("mend") == {"mended": release}
    assert node.answers() == release


def test_it_is_found_without_a_registry_and_mended_with_one_only(node):
    _edit(_folder(node) / "app/web/__main__.py")
    release = node.layout.current("web")
    away = node.registry.with_name("gone")
    node.registry.rename(away)
    try:
        assert node.done("drift")["files"]
        assert node.error("mend")["code"] == "E2003"
        assert node.answers() == release, "nothing was taken away"
    finally:
        away.rename(node.registry)
    assert node.done("mend") == {"mended": release}


def test_nothing_that_could_stand_in(node):
    _edit(_folder(node) / "app/web/__main__.py")
    (node.root / "opt/evctl/last_good/web").unlink()
    error = node.error("mend")
    assert error["code"] == "E1205"
    assert "evctl rollout" in error["next"]


def test_another_release_that_runs_beside_it_is_told(node, made):
    _, old, new = made
    node.node().services.start("web", old, ready_s=10)
    assert node.done("drift")["more"] == [old]
    node.node().services.stop("web", old, drain_s=5)
    assert node.done("drift")["release"] == new


def test_many_changes_are_bounded(node):
    for number in range(drift.FOUND_MAX + 5):
        (_folder(node) / f"app/web/new{number:02}.txt").touch()
    assert node.done("drift")["files"][-1] == "and more"
    assert len(node.done("drift")["files"]) == drift.FOUND_MAX + 1


def test_packages_are_compared_with_what_their_installer_recorded(tmp_path):
    packages = tmp_path / "venv/lib/python3.11/site-packages"
    (packages / "x-1.0.dist-info").mkdir(parents=True)
    (tmp_path / "app").mkdir()
    (packages / "x.py").write_text("")
    empty = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
    (packages / "x-1.0.dist-info/RECORD").write_text(
        f"x.py,sha256={empty},0\nx-1.0.dist-info/RECORD,,\n../../../bin/x,sha256={empty},0\n"
    )
    manifest = Manifest("1-0", "a", "1", "3.11", "", "", "0", 0, {}, {}, {})
    (tmp_path / "manifest.json").write_bytes(encode(manifest))
    assert changed_files(tmp_path, manifest) == ["venv/bin/x is missing"]
    (packages / "x.py").write_text("import os")
    shutil.rmtree(tmp_path / "app")
    assert changed_files(tmp_path, manifest) == [
        "venv/lib/python3.11/site-packages/x.py was changed", "venv/bin/x is missing"]  # fmt: skip
