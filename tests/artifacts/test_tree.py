"""What goes into a release: tracked files that the app includes, as they are in the commit."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from artifacts.app import load_app
from artifacts.tree import (
    DirtyTree,
    NotARepository,
    UnpackableFile,
    commit_of,
    files_of,
    refuse_dirty,
)
from tests.artifacts.apps import EVCTL, FILES, PACKAGED, commit, git, shop, write


def test_tracked_files_that_are_included(tmp_path: Path) -> None:
    app = shop(tmp_path / "r")
    write(app.root, {"shop/new.py": "untracked"})
    assert list(files_of(app)) == PACKAGED
    assert files_of(app)["shop/__init__.py"] == app.root / "shop/__init__.py"


def test_an_app_in_a_folder_of_its_repository(tmp_path: Path) -> None:
    app = shop(tmp_path / "r", below="apps/my shop")
    write(tmp_path / "r", {"shop/another.py": ""})
    assert list(files_of(app)) == PACKAGED
    refuse_dirty(app)
    write(app.root, {"shop/__init__.py": "changed"})
    with pytest.raises(DirtyTree, match=r"shop/__init__\.py"):
        refuse_dirty(app)


def test_the_commit_and_its_date(tmp_path: Path) -> None:
    app = shop(tmp_path / "r")
    found = commit_of(app)
    assert found.id == git(app.root, "rev-parse", "HEAD").strip()
    assert found.at == "2024-05-06T05:08:09Z"


@pytest.mark.parametrize(
    ("name", "body"),
    [("shop/__main__.py", "changed"), ("shop/new.py", ""), ("shop/data/prices.csv", None),
     ("evctl.yaml", EVCTL + "# changed\n")],
    ids=["changed", "untracked", "gone", "evctl.yaml"],
)  # fmt: skip
def test_a_dirty_tree_is_refused(tmp_path: Path, name: str, body: str | None) -> None:
    app = shop(tmp_path / "r")
    refuse_dirty(app)
    if body is None:
        (app.root / name).unlink()
    else:
        write(app.root, {name: body})
    with pytest.raises(DirtyTree) as caught:
        refuse_dirty(app)
    assert name in caught.value.why
    assert "--allow-dirty" in caught.value.next_step


def test_a_staged_change_is_dirty(tmp_path: Path) -> None:
    app = shop(tmp_path / "r")
    git(app.root, "mv", "shop/__main__.py", "shop/main.py")
    with pytest.raises(DirtyTree, match="2 files"):
        refuse_dirty(app)


@pytest.mark.parametrize("name", ["other/notes.txt", "shop/readme.md", "new.txt"])
def test_what_is_not_packaged_may_differ(tmp_path: Path, name: str) -> None:
    app = shop(tmp_path / "r")
    write(app.root, {name: "changed"})
    refuse_dirty(app)


@pytest.mark.parametrize("name", ["evctl.yaml", "locks/app.lock"])
def test_what_decides_the_release_must_be_clean_though_not_included(
    tmp_path: Path, name: str
) -> None:
    """The manifest's roles come from evctl.yaml, the wheels from the lock."""
    evctl = EVCTL.replace(', "evctl.yaml"', "") + "requirements: locks/app.lock\n"
    app = shop(tmp_path / "r", FILES | {"evctl.yaml": evctl, "locks/app.lock": ""})
    refuse_dirty(app)
    write(app.root, {name: evctl + "# changed\n" if name == "evctl.yaml" else "# changed\n"})
    with pytest.raises(DirtyTree, match=name):
        refuse_dirty(load_app(app.root / "evctl.yaml"))


def test_a_lock_that_is_ignored_is_no_part_of_the_commit(tmp_path: Path) -> None:
    evctl = EVCTL + "requirements: app.lock\n"
    app = shop(
        tmp_path / "r", FILES | {"evctl.yaml": evctl, "app.lock": "", ".gitignore": "*.lock"}
    )
    with pytest.raises(DirtyTree, match=r"app\.lock"):
        refuse_dirty(app)


def test_a_lock_outside_the_repository_is_no_part_of_the_commit(tmp_path: Path) -> None:
    (tmp_path / "app.lock").touch()
    app = shop(tmp_path / "r", FILES | {"evctl.yaml": EVCTL + "requirements: ../app.lock\n"})
    with pytest.raises(NotARepository, match="outside repository") as refused:
        refuse_dirty(app)
    assert "move it into the repository" in refused.value.next_step


def test_links_are_refused(tmp_path: Path) -> None:
    app = shop(tmp_path / "r")
    (app.root / "shop/link").symlink_to("/etc/passwd")
    commit(app.root)
    with pytest.raises(UnpackableFile, match="shop/link is not a regular file"):
        files_of(app)


def test_a_file_that_became_a_device_or_socket_is_refused(tmp_path: Path) -> None:
    app = shop(tmp_path / "r")
    (app.root / "shop/__main__.py").unlink()
    os.mkfifo(app.root / "shop/__main__.py")
    with pytest.raises(UnpackableFile):
        files_of(app)
    (app.root / "shop/__main__.py").unlink()
    with socket.socket(socket.AF_UNIX) as held:
        held.bind(str(app.root / "shop/__main__.py"))
        with pytest.raises(UnpackableFile):
            files_of(app)


def test_a_folder_that_became_a_link_leads_nowhere(tmp_path: Path) -> None:
    """Even where dirty trees are allowed, nothing from outside the app is packaged."""
    app = shop(tmp_path / "r")
    (app.root / "shop/data").rename(tmp_path / "data")
    (app.root / "shop/data").symlink_to(tmp_path / "data")
    with pytest.raises(UnpackableFile, match="prices"):
        files_of(app)


def test_a_submodule_is_refused(tmp_path: Path) -> None:
    shop(tmp_path / "inner")
    app = shop(tmp_path / "r")
    git(
        app.root, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add",
        str(tmp_path / "inner"), "shop/inner",
    )  # fmt: skip
    commit(app.root)
    with pytest.raises(UnpackableFile, match="shop/inner"):
        files_of(app)


def test_a_tracked_file_that_is_gone(tmp_path: Path) -> None:
    app = shop(tmp_path / "r")
    (app.root / "shop/__main__.py").unlink()
    with pytest.raises(DirtyTree, match="tracked, and gone"):
        files_of(app)


def test_names_with_blanks_and_beyond_ascii(tmp_path: Path) -> None:
    names = ["shop/a b.py", "shop/ü·→.txt", 'shop/"quoted".txt', "shop/new\nline.txt"]
    app = shop(tmp_path / "r", FILES | dict.fromkeys(names, ""))
    assert set(names) <= set(files_of(app))
    write(app.root, dict.fromkeys(names, "changed"))
    with pytest.raises(DirtyTree, match="4 files"):
        refuse_dirty(app)


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    app = shop(tmp_path / "r")
    (Path(os.fsdecode(bytes(app.root) + b"/shop/\xff.txt"))).touch()
    with pytest.raises(DirtyTree):
        refuse_dirty(app)
    commit(app.root)
    with pytest.raises(UnpackableFile, match="UTF-8"):
        files_of(app)


def test_a_name_too_long_to_unpack_is_refused(tmp_path: Path) -> None:
    name = "shop/" + "/".join(["d" * 200] * 6) + "/f"
    app = shop(tmp_path / "r", FILES | {name: ""})
    with pytest.raises(UnpackableFile, match="too long"):
        files_of(app)


def test_an_empty_release_is_refused(tmp_path: Path) -> None:
    evctl = EVCTL.replace('["shop/**", "evctl.yaml"]', '["nothing/**"]')
    app = shop(tmp_path / "r", FILES | {"evctl.yaml": evctl})
    with pytest.raises(UnpackableFile, match="empty"):
        files_of(app)


def test_without_a_repository_or_a_commit(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    app = load_app(tmp_path / "evctl.yaml")
    for question in (files_of, commit_of, refuse_dirty):
        with pytest.raises(NotARepository):
            question(app)
    git(tmp_path, "init", "-q")
    with pytest.raises(NotARepository):
        commit_of(app)


def test_a_repository_of_another_user_is_told_as_git_tells_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = shop(tmp_path / "r")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("HOME", str(tmp_path))  # no exceptions of this user's own
    with pytest.raises(NotARepository, match="dubious ownership") as refused:
        commit_of(app)
    assert refused.value.next_step == (
        f"git config --global --add safe.directory {app.root}, or release as the owner of its files"
    )


def test_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = shop(tmp_path / "r")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotARepository, match="not installed"):
        files_of(app)
