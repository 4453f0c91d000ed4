"""The stand-in for a slow registry is read as S3 is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from artifacts.objects import ObjectMissing, ObjectStore, open_objects
from faults.slow_registry import BUCKET, Handler


@pytest.fixture
def objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    (tmp_path / "releases").mkdir()
    (tmp_path / "releases/one").write_bytes(b"0123456789" * 50)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, tmp_path, 5000))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield open_objects(f"s3://{BUCKET}?endpoint=http://127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()


def test_whole_objects_and_the_rest_of_one(objects: ObjectStore) -> None:
    assert objects.get("releases/one").body == b"0123456789" * 50
    assert objects.size("releases/one") == 500
    assert b"".join(objects.read("releases/one", 495)) == b"56789"


def test_what_is_not_there(objects: ObjectStore) -> None:
    with pytest.raises(ObjectMissing):
        objects.get("releases/two")
