"""Wheels: by hash or not at all; fetched once. What is here needs no network."""

from __future__ import annotations

import hashlib
import http.server
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from artifacts import wheels
from artifacts.wheels import WheelsFailed, wheels_of

WHEEL = "tea-1.0-py3-none-any.whl"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A real package index with one wheel in it, and pip's own settings point there alone."""
    folder = tmp_path / "index"
    (folder / "tea").mkdir(parents=True)
    with zipfile.ZipFile(folder / "tea" / WHEEL, "w") as wheel:
        wheel.writestr("tea.py", "")
        wheel.writestr(
            "tea-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tea\nVersion: 1.0\n"
        )
        wheel.writestr("tea-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("tea-1.0.dist-info/RECORD", "")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/")
        monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
        monkeypatch.setenv("PIP_RETRIES", "0")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        try:
            yield folder
        finally:
            server.shutdown()
            thread.join(10)


def lock_of(folder: Path, digest: str, name: str = "tea==1.0") -> Path:
    lock = folder / "app.lock"
    lock.write_text(f"{name} --hash=sha256:{digest}\n")
    return lock


def right(index: Path, tmp_path: Path) -> Path:
    return lock_of(tmp_path, hashlib.sha256((index / "tea" / WHEEL).read_bytes()).hexdigest())


def test_a_wheel_is_fetched_once(index: Path, tmp_path: Path) -> None:
    lock, cache = right(index, tmp_path), tmp_path / "cache"
    found = wheels_of(lock, cache, "3.11")
    assert list(found) == [WHEEL]
    assert found[WHEEL].read_bytes() == (index / "tea" / WHEEL).read_bytes()
    (index / "tea" / WHEEL).unlink()
    assert wheels_of(lock, cache, "3.11") == found
    assert len(list(cache.iterdir())) == 1


def test_a_wrong_hash(index: Path, tmp_path: Path) -> None:
    with pytest.raises(WheelsFailed) as caught:
        wheels_of(lock_of(tmp_path, "0" * 64), tmp_path / "cache", "3.11")
    assert "app.lock" in caught.value.what
    assert "0" * 64 in caught.value.why or "HASHES" in caught.value.why
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("line", ["tea==1.0", "tea", "not a requirement !", "-r absent.txt"])
def test_a_lock_without_hashes_is_none(index: Path, tmp_path: Path, line: str) -> None:
    lock = tmp_path / "app.lock"
    lock.write_text(f"{line}\n")
    with pytest.raises(WheelsFailed):
        wheels_of(lock, tmp_path / "cache", "3.11")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_package_that_isnt_there(index: Path, tmp_path: Path) -> None:
    with pytest.raises(WheelsFailed, match="coffee"):
        wheels_of(lock_of(tmp_path, "0" * 64, "coffee==1.0"), tmp_path / "cache", "3.11")


def test_a_package_without_a_wheel_is_never_built(index: Path, tmp_path: Path) -> None:
    (index / "tea" / WHEEL).rename(index / "tea" / "tea-1.0.tar.gz")
    with pytest.raises(WheelsFailed):
        wheels_of(lock_of(tmp_path, "0" * 64), tmp_path / "cache", "3.11")


def test_nobody_answers(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = right(index, tmp_path)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    with pytest.raises(WheelsFailed, match="check the network"):
        wheels_of(lock, tmp_path / "cache", "3.11")


def test_pip_takes_too_long(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "PIP_S", 0.001)
    with pytest.raises(WheelsFailed, match="longer than"):
        wheels_of(right(index, tmp_path), tmp_path / "cache", "3.11")
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_wheels_are_those_of_the_apps_python(index: Path, tmp_path: Path) -> None:
    body = (index / "tea" / WHEEL).read_bytes()
    (index / "tea" / WHEEL).unlink()
    for tag in ("cp311", "cp312"):
        (index / "tea" / f"tea-1.0-{tag}-none-any.whl").write_bytes(body)
    lock = lock_of(tmp_path, hashlib.sha256(body).hexdigest())
    for python, tag in (("3.11", "cp311"), ("3.12", "cp312")):
        found = wheels_of(lock, tmp_path / "cache", python)
        assert list(found) == [f"tea-1.0-{tag}-none-any.whl"]


def test_two_at_once(index: Path, tmp_path: Path) -> None:
    lock, cache = right(index, tmp_path), tmp_path / "cache"
    found: list[object] = []
    faults: list[BaseException] = []

    def fetch() -> None:
        try:
            found.append(list(wheels_of(lock, cache, "3.11")))
        except BaseException as error:  # noqa: BLE001 (handed to the test's own thread)
            faults.append(error)

    threads = [threading.Thread(target=fetch) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert faults == []
    assert found == [[WHEEL]] * 3
    assert len(list(cache.iterdir())) == 1


def test_an_empty_lock_needs_nothing(tmp_path: Path) -> None:
    (tmp_path / "app.lock").write_text("# none\n")
    assert wheels_of(tmp_path / "app.lock", tmp_path / "cache", "3.11") == {}
