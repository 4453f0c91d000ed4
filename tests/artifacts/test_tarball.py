"""The tarball: the same tree gives the same bytes; a hostile archive leaves nothing behind."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artifacts import tarball, tree
from artifacts.app import load_app
from artifacts.manifest import Manifest
from artifacts.tarball import UnsafeArchive, unpack
from tests.artifacts.apps import GIT_ENVIRONMENT, commit, git, shop, write

BODIES = {"app/a.py": b"a\n", "app/deep/b.bin": bytes(range(256)) * 8, "requirements.lock": b""}


def manifest_of(bodies: dict[str, bytes]) -> Manifest:
    files = {name: hashlib.sha256(body).hexdigest() for name, body in bodies.items()}
    return Manifest("1-0", "shop", "1", "3.11", "", "", "0", 0, files, {}, {})


def member(name: str, body: bytes = b"", **facts: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(body)
    for fact, value in facts.items():
        setattr(info, fact, value)
    return info, body


GOOD = [member(name, body) for name, body in BODIES.items()]


def archive(
    members: list[tuple[tarfile.TarInfo, bytes]], kind: int = tarfile.GNU_FORMAT, mode: str = "w"
) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=kind) as made:  # type: ignore[call-overload]
        for info, body in members:
            made.addfile(info, io.BytesIO(body))
    return out.getvalue()


def refused(folder: Path, body: bytes, bodies: dict[str, bytes] | None = None) -> UnsafeArchive:
    """It's refused, and nothing is outside the destination."""
    at = folder / "release.tar"
    at.write_bytes(body)
    dest = folder / "dest"
    dest.mkdir()
    with pytest.raises(UnsafeArchive) as caught:
        unpack(at, manifest_of(BODIES if bodies is None else bodies), dest)
    assert {path.name for path in folder.iterdir()} == {"release.tar", "dest"}
    for path in dest.rglob("*"):
        assert path.is_dir() or path.is_file()
        assert not path.is_symlink()
    assert caught.value.exit_code == 4
    return caught.value


# The same tree, the same bytes.


def test_the_same_tree_gives_the_same_bytes_anywhere(tmp_path: Path) -> None:
    """Two clones: another path, umask, mtime, time zone, locale, and order of files."""
    app = shop(tmp_path / "one")
    (app.root / "shop/__main__.py").chmod(0o755)
    write(app.root, {"shop/ü.txt": "", "shop/" + "long" * 40 + ".txt": "beyond 100 bytes"})
    commit(app.root)
    other = tmp_path / "elsewhere" / "two"
    git(tmp_path, "clone", "-q", str(app.root), str(other), umask=0o077)
    for number, path in enumerate(sorted(other.rglob("*"))):
        os.utime(path, (number * 1000, number * 1000))

    here = tmp_path / "here.tar"
    tarball.write(here, tree.files_of(app))
    # Another process, so that everything of its surroundings is another.
    pack = (
        "import sys; from pathlib import Path; from artifacts import app, tarball, tree;"
        "files = tree.files_of(app.load_app(Path(sys.argv[1])));"
        "tarball.write(Path(sys.argv[2]), dict(reversed(files.items())))"
    )
    subprocess.run(
        (sys.executable, "-c", pack, str(other / "evctl.yaml"), str(tmp_path / "there.tar")),
        env=GIT_ENVIRONMENT | {"TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONUTF8": "0"},
        cwd=Path(__file__).parent.parent.parent,
        umask=0o077,
        timeout=60,
        check=True,
    )
    assert here.read_bytes() == (tmp_path / "there.tar").read_bytes()
    with tarfile.open(here) as made:
        modes = {info.name: info.mode for info in made}
        facts = {(i.uid, i.gid, i.uname, i.gname, i.mtime) for i in made}
    assert modes.pop("shop/__main__.py") == 0o755
    assert set(modes.values()) == {0o644}
    assert facts == {(0, 0, "", "", 0)}


def test_a_mode_is_content(tmp_path: Path) -> None:
    app = shop(tmp_path / "one")
    tarball.write(tmp_path / "before.tar", tree.files_of(app))
    (app.root / "shop/__main__.py").chmod(0o755)
    tarball.write(tmp_path / "after.tar", tree.files_of(load_app(app.root / "evctl.yaml")))
    assert (tmp_path / "before.tar").read_bytes() != (tmp_path / "after.tar").read_bytes()


names = st.from_regex(r"[a-zü][a-z0-9 ü.-]{0,60}x", fullmatch=True)


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(names, st.tuples(st.binary(max_size=3000), st.booleans()), min_size=1))
def test_what_is_packed_is_what_is_unpacked(files: dict[str, tuple[bytes, bool]]) -> None:
    with tempfile.TemporaryDirectory() as made:
        folder, dest = Path(made), Path(made) / "dest"
        for name, (body, executable) in files.items():
            (folder / name).write_bytes(body)
            (folder / name).chmod(0o700 if executable else 0o600)
        packed = folder / "packed.tar"
        tarball.write(packed, {f"app/d/{name}": folder / name for name in files})
        dest.mkdir()
        unpack(packed, manifest_of({f"app/d/{n}": body for n, (body, _) in files.items()}), dest)
        found = {
            path.name: (path.read_bytes(), path.stat().st_mode & 0o777)
            for path in (dest / "app/d").iterdir()
        }
    assert found == {
        name: (body, 0o755 if executable else 0o644) for name, (body, executable) in files.items()
    }


# Hostile archives.


def pax(**headers: str) -> tarfile.TarInfo:
    info, _ = member("app/a.py", b"a\n")
    info.pax_headers = headers
    return info


PASSWD = "/etc/passwd"
HOSTILE: dict[str, Callable[[], bytes]] = {
    "symlink": lambda: archive([member("app/a.py", type=tarfile.SYMTYPE, linkname=PASSWD)]),
    "hard link": lambda: archive([member("app/a.py", type=tarfile.LNKTYPE, linkname=PASSWD)]),
    "hard link to a member": lambda: archive(
        [GOOD[1], member("app/a.py", type=tarfile.LNKTYPE, linkname="app/deep/b.bin")]
    ),
    "link, then a file through it": lambda: archive(
        [member("app/deep", type=tarfile.SYMTYPE, linkname="/tmp"), *GOOD]
    ),
    "character device": lambda: archive([member("app/a.py", type=tarfile.CHRTYPE, devmajor=1)]),
    "block device": lambda: archive([member("app/a.py", type=tarfile.BLKTYPE, devmajor=1)]),
    "fifo": lambda: archive([member("app/a.py", type=tarfile.FIFOTYPE)]),
    "folder": lambda: archive([member("app", type=tarfile.DIRTYPE), *GOOD]),
    "unknown type": lambda: archive([member("app/a.py", b"a\n", type=b"Z")]),
    "sparse": lambda: archive([member("app/a.py", type=tarfile.GNUTYPE_SPARSE)]),
    "absolute": lambda: archive([member("/app/a.py", b"a\n")]),
    "climbing": lambda: archive([member("app/../../a.py", b"a\n")]),
    "climbing at once": lambda: archive([member("../a.py", b"a\n")]),
    "a dot": lambda: archive([member("./app/a.py", b"a\n")]),
    "two slashes": lambda: archive([member("app//a.py", b"a\n")]),
    "twice": lambda: archive([*GOOD, GOOD[0]]),
    "unnamed": lambda: archive([*GOOD, member("app/more.py")]),
    "nameless": lambda: archive([*GOOD, member("")]),
    "one missing": lambda: archive(GOOD[:-1]),
    "empty": lambda: archive([]),
    "other content": lambda: archive([*GOOD[1:], member("app/a.py", b"b\n")]),
    "oversize": lambda: archive([*GOOD[1:], member("app/a.py", b"a\n" + bytes(1 << 22))]),
    "truncated body": lambda: archive(GOOD)[: 512 + 1],
    "truncated header": lambda: archive(GOOD)[: 1024 + 100],
    "a size beyond the end": lambda: resized(GOOD[0][0], b"77777777777\0"),
    "a huge size": lambda: resized(GOOD[0][0], b"\x80" + b"\x7f" * 11),
    "a negative size": lambda: resized(GOOD[0][0], b"\xff" * 10 + b"\xfe\0"),
    "pax path": lambda: archive([(pax(path="../../a.py"), b"a\n")], tarfile.PAX_FORMAT),
    "pax absolute": lambda: archive([(pax(path="/tmp/a.py"), b"a\n")], tarfile.PAX_FORMAT),
    "pax size": lambda: archive([(pax(size="9" * 30), b"a\n")], tarfile.PAX_FORMAT),
    "pax negative size": lambda: archive([(pax(size="-512"), b"a\n")], tarfile.PAX_FORMAT),
    "pax size that is none": lambda: archive([(pax(size="x"), b"a\n")], tarfile.PAX_FORMAT),
    "pax sparse": lambda: archive(
        [(pax(**{"GNU.sparse.map": "0,1", "GNU.sparse.size": "9"}), b"a\n")], tarfile.PAX_FORMAT
    ),
    "pax sparse 1.0": lambda: archive(
        [(pax(**{"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}), b"a\n")], tarfile.PAX_FORMAT
    ),
    "pax without an end": lambda: many_headers(tarfile.XHDTYPE),
    "long names without an end": lambda: many_headers(tarfile.GNUTYPE_LONGNAME),
    "a name beyond what a file may have": lambda: archive([*GOOD, member("app/" + "n" * 2000)]),
    "gzip": lambda: archive(GOOD, mode="w:gz"),
    "xz": lambda: archive(GOOD, mode="w:xz"),
    "bzip2": lambda: archive(GOOD, mode="w:bz2"),
    "text": lambda: b"hello\n" * 1000,
    "zeros": lambda: bytes(10240),
    "nothing": lambda: b"",
}


NOT_REGULAR = "is a link, a device or a folder"
# Which guard must catch it: another one further on would do so too late, or by chance.
REASONS = {
    **dict.fromkeys(
        ["symlink", "hard link", "hard link to a member", "link, then a file through it",
         "character device", "block device", "fifo", "folder", "sparse", "pax sparse"],
        NOT_REGULAR,
    ),
    **dict.fromkeys(["absolute", "pax absolute"], "absolute path"),
    **dict.fromkeys(["climbing", "climbing at once", "a dot", "two slashes", "pax path"], "climbs"),
    **dict.fromkeys(["a negative size", "pax negative size"], "negative size"),
    **dict.fromkeys(["other content", "oversize"], "another content"),
    "twice": "is there twice",
    "unnamed": "isn't named by the manifest",
    "one missing": "is missing",
}  # fmt: skip


def resized(info: tarfile.TarInfo, size: bytes) -> bytes:
    """A member whose header says another size, its checksum mended."""
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = size
    return mended(header) + b"a\n".ljust(512, b"\0") + archive(GOOD)


def mended(header: bytearray) -> bytes:
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def many_headers(kind: bytes) -> bytes:
    body = b"11 path=ab\n" if kind == tarfile.XHDTYPE else b"ab\0"
    info, _ = member("h", body, type=kind)
    return (info.tobuf(tarfile.USTAR_FORMAT) + body.ljust(512, b"\0")) * 5000


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_archive_is_refused(tmp_path: Path, kind: str) -> None:
    error = refused(tmp_path, HOSTILE[kind]())
    assert "isn't safe" in error.what
    assert REASONS.get(kind, "") in error.what
    assert error.next_step


def test_a_manifest_cant_name_its_way_out(tmp_path: Path) -> None:
    """Even what the manifest names is refused when it climbs, or is a file and a folder."""
    for number, names_ in enumerate(
        (["../a"], ["/tmp/a"], ["a", "a/b"], ["a", "a/b/c"], ["n" * 300], ["a\0b"], [""])
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        bodies = dict.fromkeys(names_, b"x")
        refused(folder, archive([member(name, b"x") for name in names_]), bodies)


def test_the_good_one_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "release.tar").write_bytes(archive(GOOD))
    unpack(tmp_path / "release.tar", manifest_of(BODIES), tmp_path / "dest")
    for name, body in BODIES.items():
        assert (tmp_path / "dest" / name).read_bytes() == body


def test_what_lies_there_already_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "dest/app").mkdir(parents=True)
    (tmp_path / "dest/app/a.py").symlink_to(tmp_path / "victim")
    (tmp_path / "release.tar").write_bytes(archive(GOOD))
    with pytest.raises(UnsafeArchive):
        unpack(tmp_path / "release.tar", manifest_of(BODIES), tmp_path / "dest")
    assert not (tmp_path / "victim").exists()


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_headers_are_refused_or_change_nothing(data: st.DataObject) -> None:
    """Any field of any header, its checksum right again: refused as unsafe, or the same files."""
    body = bytearray(archive(GOOD, data.draw(st.sampled_from([tarfile.GNU_FORMAT,
                                                              tarfile.PAX_FORMAT]))))  # fmt: skip
    header = data.draw(st.sampled_from([0, 1024]))
    at = header + data.draw(st.integers(0, 511))
    new = data.draw(st.binary(min_size=1, max_size=12))[: header + 512 - at]
    body[at : at + len(new)] = new
    body[header : header + 512] = mended(body[header : header + 512])
    with tempfile.TemporaryDirectory() as made:
        packed, dest = Path(made) / "release.tar", Path(made) / "dest"
        packed.write_bytes(body)
        try:
            unpack(packed, manifest_of(BODIES), dest)
        except UnsafeArchive:
            pass
        else:
            assert {
                path.relative_to(dest).as_posix(): path.read_bytes()
                for path in dest.rglob("*")
                if path.is_file()
            } == BODIES
        assert {path.name for path in Path(made).iterdir()} <= {"release.tar", "dest"}
