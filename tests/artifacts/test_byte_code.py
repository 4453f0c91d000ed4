"""Byte code that is taken over is that of the very same source, whoever touched what meanwhile."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from artifacts import byte_code


def app(folder: Path, **values: int) -> Path:
    """Modules of the same length, each in a package."""
    for name, value in values.items():
        file = folder / f"shop/{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"VALUE = {value}\n")
    return folder


def compiled(folder: Path) -> Path:
    command = (sys.executable, "-m", "compileall", "-q", str(folder))
    subprocess.run(command, check=True, timeout=30)
    return folder


def inode(folder: Path, name: str) -> int:
    (found,) = folder.glob(f"shop/__pycache__/{name}.*.pyc")
    return found.stat().st_ino


def seen(folder: Path, name: str) -> str:
    """The module's value, and that its byte code was good for it."""
    done = subprocess.run(
        [sys.executable, "-Bvc", f"import shop.{name} as it; print(it.VALUE, it.__file__)"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert f"matches {folder}/shop/{name}.py" in done.stderr
    value, _, file = done.stdout.strip().partition(" ")
    assert file == f"{folder}/shop/{name}.py"
    return value


def test_an_apps_equal_files_share_it_and_others_are_compiled(tmp_path: Path) -> None:
    first = compiled(app(tmp_path / "first", same=1, other=1, gone=1))
    second = app(tmp_path / "second", same=1, other=2, new=3)
    byte_code.take_of_equals(first, second)
    compiled(second)
    assert inode(first, "same") == inode(second, "same")
    assert inode(first, "other") != inode(second, "other")
    assert {name: seen(second, name) for name in ("same", "other", "new")} == {
        "same": "1",
        "other": "2",
        "new": "3",
    }
    assert not list(second.glob("shop/__pycache__/gone.*"))


@pytest.mark.parametrize("recompiled", [False, True])
def test_what_was_changed_by_hand_is_not_believed(tmp_path: Path, recompiled: bool) -> None:
    first = compiled(app(tmp_path / "first", same=1))
    (first / "shop/same.py").write_text("VALUE = 7\n")
    if recompiled:
        compiled(first)
    second = app(tmp_path / "second", same=1)
    byte_code.take_of_equals(first, second)
    compiled(second)
    assert seen(second, "same") == "1"
    assert inode(first, "same") != inode(second, "same")


def test_of_several_the_first_that_fits_is_taken(tmp_path: Path) -> None:
    others = [compiled(app(tmp_path / name, same=1)) for name in ("first", "second")]
    last = app(tmp_path / "last", same=1)
    for other in others:
        byte_code.take_of_equals(other, last)
    assert inode(last, "same") == inode(others[0], "same")
    assert seen(last, "same") == "1"
