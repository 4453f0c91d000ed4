"""The promises of artifacts/objects.py, kept by every engine: a folder, and a real S3 server."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import boto3
import pytest

from artifacts.objects import (
    BadStoreUrl,
    Object,
    ObjectConflict,
    ObjectMissing,
    ObjectStore,
    StoreNotAllowed,
    StoreUnreachable,
    open_objects,
)
from artifacts.objects_s3_parts import PART_BYTES
from cli.lab.engines import servers
from tests.serving import serving

REPOSITORY = Path(__file__).parent.parent.parent
RACERS = 8
WITHIN_S = 30.0
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests-secret"}
BUCKET = "releases"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="not run: needs root")


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(servers.s3, tmp_path_factory.mktemp("s3server")) as endpoint:
        yield with_a_bucket(endpoint)


@pytest.fixture(scope="session")
def versitygw_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patched:
        for name, value in CREDENTIALS.items():
            patched.setenv(name, value)
        server = partial(servers.versitygw, region="eu-west-1")
        with serving(server, tmp_path_factory.mktemp("versitygw")) as endpoint:
            yield with_a_bucket(endpoint)


def with_a_bucket(endpoint: str) -> str:
    boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="eu-west-1",
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    ).create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    return endpoint


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it remembers earlier credentials
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(params=["folder", "s3", "versitygw"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty store of each engine."""
    if request.param == "folder":
        (tmp_path / "a store").mkdir()
        return f"file://{tmp_path}/a%20store"
    endpoint = request.getfixturevalue(f"{request.param}_endpoint")
    request.getfixturevalue("credentials")
    return f"s3://{BUCKET}/{secrets.token_hex(4)}/b?endpoint={endpoint}&region=eu-west-1"


@pytest.fixture
def store(url: str) -> ObjectStore:
    return open_objects(url)


def race(attempt: Callable[[int], object]) -> list[int]:
    """Everyone starts together; who didn't get ObjectConflict."""
    gate = threading.Barrier(RACERS)
    winners: list[int] = []
    faults: list[BaseException] = []

    def run(number: int) -> None:
        gate.wait(WITHIN_S)
        try:
            attempt(number)
        except ObjectConflict:
            return
        except BaseException as error:  # noqa: BLE001 (handed to the test's own thread)
            faults.append(error)
            return
        winners.append(number)

    racers = [threading.Thread(target=run, args=(number,)) for number in range(RACERS)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(WITHIN_S)
        assert not racer.is_alive()
    assert faults == []
    return winners


# Whole objects.


@pytest.mark.parametrize("body", [b"", b"x", bytes(range(256)) * 5000], ids=len)
def test_what_is_put_is_what_is_got(store: ObjectStore, body: bytes, tmp_path: Path) -> None:
    path = tmp_path / "body"
    path.write_bytes(body)
    for key, given in (("a/bytes.bin", body), ("a/file.bin", path)):
        etag = store.put(key, given)
        assert store.get(key).body == body
        assert store.get(key).etag == etag
        assert store.size(key) == len(body)
        assert b"".join(store.read(key)) == body


def test_a_large_object_keeps_its_promises(store: ObjectStore, tmp_path: Path) -> None:
    large = bytes(range(256)) * (PART_BYTES // 256 + 1)
    (tmp_path / "large").write_bytes(large)
    etag = store.put("large", tmp_path / "large", if_absent=True)
    assert store.get("large") == Object(large, etag)
    assert b"".join(store.read("large", PART_BYTES - 1)) == large[PART_BYTES - 1 :]
    for condition in ({"if_absent": True}, {"if_match": '"other"'}):
        with pytest.raises(ObjectConflict):
            store.put("large", large[::-1], **condition)
    assert store.get("large").body == large
    store.put("large", large[::-1], if_match=etag)
    assert store.get("large").body == large[::-1]


def test_an_upload_that_fails_leaves_no_parts(
    s3_endpoint: str, credentials: None, tmp_path: Path
) -> None:
    url = f"s3://{BUCKET}/{secrets.token_hex(4)}?endpoint={s3_endpoint}&region=eu-west-1"
    store = open_objects(url)
    store.put("large", b"there")
    with pytest.raises(ObjectConflict):
        store.put("large", bytes(PART_BYTES + 1), if_absent=True)
    client = boto3.client("s3", endpoint_url=s3_endpoint, region_name="eu-west-1")
    assert not client.list_multipart_uploads(Bucket=BUCKET).get("Uploads")


def test_another_process_sees_it_at_once(store: ObjectStore) -> None:
    store.put("a", b"1")
    again = open_objects(store.url)
    assert again.get("a").body == b"1"
    store.put("a", b"2")
    assert again.get("a").body == b"2"


def test_the_etag_changes_with_the_body(store: ObjectStore) -> None:
    first, second = store.put("a", b"1"), store.put("a", b"2")
    assert first != second
    assert store.get("a").etag == second


@pytest.mark.parametrize("offset", [0, 1, (1 << 20) - 1, 1 << 20, 2_499_999, 2_500_000, 9_999_999])
def test_read_from_an_offset(store: ObjectStore, offset: int) -> None:
    body = os.urandom(2_500_000)
    store.put("a", body)
    assert b"".join(store.read("a", offset)) == body[offset:]


def test_an_empty_object_reads_as_nothing(store: ObjectStore) -> None:
    store.put("a", b"")
    assert list(store.read("a")) == []


def test_what_is_missing(store: ObjectStore) -> None:
    store.put("a/b/c", b"x")
    # A folder's name is no object, whatever the engine makes of folders.
    for key in ("absent", "a", "a/b", "a/b/d", "a/b/c/d"):
        for question in (store.get, store.size, lambda key: list(store.read(key))):
            with pytest.raises(ObjectMissing) as caught:
                question(key)
            assert caught.value.exit_code == 2


BAD_KEYS = ["", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", ".lock", "a/.b",
            "a\0b", "a\n", "ä", "a b", "a\\b", f"a/{'x' * 256}"]  # fmt: skip


@pytest.mark.parametrize("key", BAD_KEYS, ids=ascii)
def test_a_key_that_is_none(store: ObjectStore, key: str, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    for attempt in (
        store.get,
        store.size,
        lambda key: list(store.read(key)),
        lambda key: store.put(key, b"x"),
    ):
        with pytest.raises(ObjectMissing, match="can't be a key"):
            attempt(key)
    assert sorted(tmp_path.rglob("*")) == before


# Lists.


def test_lists_are_sorted_and_by_prefix(store: ObjectStore) -> None:
    keys = ["b/2", "a/1", "a/10", "a/2", "a-b", "a/B", "ab/1", "rollouts/R000002.json"]
    for key in keys:
        store.put(key, b"x")
    assert store.list("") == sorted(keys)
    assert store.list("a/") == ["a/1", "a/10", "a/2", "a/B"]
    assert store.list("a/1") == ["a/1", "a/10"]
    assert store.list("a") == ["a-b", "a/1", "a/10", "a/2", "a/B", "ab/1"]
    assert store.list("c") == []
    assert store.list("../") == []


def test_an_empty_store_lists_nothing(store: ObjectStore) -> None:
    assert store.list("") == []
    with pytest.raises(ObjectConflict):
        store.put("a", b"x", if_match="never")
    assert store.list("") == []


# Conditions.


def test_only_if_absent(store: ObjectStore) -> None:
    etag = store.put("a/b", b"1", if_absent=True)
    with pytest.raises(ObjectConflict) as caught:
        store.put("a/b", b"2", if_absent=True)
    assert caught.value.exit_code == 8
    assert (store.get("a/b").body, store.get("a/b").etag) == (b"1", etag)


def test_only_if_it_matches(store: ObjectStore) -> None:
    first = store.put("a/b", b"1")
    second = store.put("a/b", b"2", if_match=first)
    with pytest.raises(ObjectConflict):
        store.put("a/b", b"3", if_match=first)
    assert (store.get("a/b").body, store.get("a/b").etag) == (b"2", second)
    store.put("a/b", b"3", if_match=store.get("a/b").etag)
    assert store.get("a/b").body == b"3"


def test_what_is_absent_matches_nothing(store: ObjectStore) -> None:
    etag = store.put("a", b"1")
    with pytest.raises(ObjectConflict):
        store.put("b", b"1", if_match=etag)
    assert store.list("") == ["a"]


def test_of_many_that_create_one_wins(store: ObjectStore) -> None:
    for number in range(5):
        key = f"locks/{number}"
        winners = race(lambda n, key=key: store.put(key, b"%d" % n, if_absent=True))  # type: ignore[misc]
        assert len(winners) == 1
        assert store.get(key).body == b"%d" % winners[0]


def test_of_many_that_change_one_wins(store: ObjectStore) -> None:
    etag = store.put("desired.json", b"0")
    for _ in range(5):
        winners = race(
            lambda n, etag=etag: store.put("desired.json", b"w%d" % n, if_match=etag)  # type: ignore[misc]
        )
        assert len(winners) == 1
        assert store.get("desired.json").body == b"w%d" % winners[0]
        # A body of its own each round: an etag may be nothing but the body's digest.
        etag = store.put("desired.json", secrets.token_bytes(8))


def test_every_increment_is_kept(store: ObjectStore) -> None:
    store.put("count", b"0")

    def increment(_: int) -> None:
        for _ in range(5):
            for _ in range(1000):
                before = store.get("count")
                try:
                    store.put("count", b"%d" % (int(before.body) + 1), if_match=before.etag)
                except ObjectConflict:
                    continue
                break

    assert len(race(increment)) == RACERS
    assert store.get("count").body == b"%d" % (RACERS * 5)


def test_a_reader_never_sees_a_mixture(store: ObjectStore) -> None:
    bodies = [b"a" * 300_000, b"b" * 300_000]
    store.put("a", bodies[0])

    def turn(number: int) -> None:
        for turn in range(5):
            if number < 2:
                store.put("a", bodies[(number + turn) % 2])
            else:
                assert store.get("a").body in bodies

    assert len(race(turn)) == RACERS


# A store that doesn't answer, or refuses.


def everything(store: ObjectStore) -> list[Callable[[], object]]:
    return [
        lambda: store.get("a"),
        lambda: list(store.read("a")),
        lambda: store.size("a"),
        lambda: store.put("a", b"x"),
        lambda: store.put("a/b/c", b"x", if_absent=True),
        lambda: store.list(""),
    ]


def gone(store: ObjectStore) -> None:
    for attempt in everything(store):
        with pytest.raises(StoreUnreachable) as caught:
            attempt()
        assert caught.value.exit_code == 7
        assert caught.value.next_step


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    gone(open_objects(f"file://{tmp_path}/absent"))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    gone(open_objects(f"file://{tmp_path}/file"))


def test_nobody_listens(credentials: None) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: refused, and nobody else takes it
        port = held.getsockname()[1]
        store = open_objects(f"s3://{BUCKET}?endpoint=http://127.0.0.1:{port}&region=eu-west-1")
        with pytest.raises(StoreUnreachable, match="doesn't answer"):
            store.get("a")


def test_no_such_bucket(s3_endpoint: str, credentials: None) -> None:
    store = open_objects(f"s3://no-such-bucket?endpoint={s3_endpoint}&region=eu-west-1")
    gone(store)


def test_no_credentials(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it remembers earlier credentials
    for name in (*CREDENTIALS, "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    store = open_objects(f"s3://{BUCKET}?endpoint={s3_endpoint}&region=eu-west-1")
    for attempt in everything(store):
        with pytest.raises(StoreNotAllowed, match="credentials"):
            attempt()


# The folder's own matters.

AS_ANOTHER = """
import os, sys
from artifacts.errors import EvctlError
from artifacts.objects import open_objects
store = open_objects(sys.argv[1])
if len(sys.argv) > 2:
    os.setgroups([]), os.setgid(int(sys.argv[2])), os.setuid(int(sys.argv[2]))
for attempt in (
    lambda: store.get("a").body.decode(),
    lambda: b"".join(store.read("a", 1)).decode(),
    lambda: store.size("a"),
    lambda: ",".join(store.list("")),
    lambda: store.put("a", b"new"),
    lambda: store.put("new/b", b"new"),
    lambda: store.put("a", b"new", if_absent=True),
):
    try:
        print(attempt())
    except EvctlError as error:
        print(type(error).__name__)
"""


def told(command: list[str], *arguments: str) -> list[str]:
    """What another process is told, in order of AS_ANOTHER."""
    done = subprocess.run(
        [*command, sys.executable, "-c", AS_ANOTHER, *arguments],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@needs_root
def test_a_read_only_mount_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    open_objects(f"file://{tmp_path}/store").put("a", b"body")
    mount = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
    unshare = ["unshare", "-m", "sh", "-c", mount, f"{tmp_path}/store"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("not run: mounting is not allowed here")
    said = told(unshare, f"file://{tmp_path}/store")
    assert said == ["body", "ody", "4", "a", "StoreNotAllowed", "StoreNotAllowed",
                    "StoreNotAllowed"]  # fmt: skip


@needs_root
def test_a_folder_that_refuses(tmp_path: Path) -> None:
    """As somebody else: readable, then closed, then below a folder that is closed."""
    with tempfile.TemporaryDirectory() as made:  # pytest's own folders are closed to others
        store = Path(made) / "store"
        store.mkdir()
        Path(made).chmod(0o755)
        open_objects(f"file://{store}").put("a", b"body")
        (store / "a").chmod(0o644)
        assert told([], f"file://{store}", "65534") == [
            "body",
            "ody",
            "4",
            "a",
            *["StoreNotAllowed"] * 3,
        ]
        for closed in (store, Path(made)):
            closed.chmod(0o700)
            assert told([], f"file://{store}", "65534") == ["StoreNotAllowed"] * 7
            closed.chmod(0o755)


def test_a_full_disk(tmp_path: Path) -> None:
    """No file may grow: what writing meets then has another number, and the same meaning."""
    store = open_objects(f"file://{tmp_path}")
    store.put("a", b"body")
    said = told(["prlimit", "--fsize=0"], f"file://{tmp_path}")
    assert said == ["body", "ody", "4", "a", *["StoreUnreachable"] * 2, "ObjectConflict"]
    assert store.get("a").body == b"body"


def test_a_put_that_fails_leaves_nothing(tmp_path: Path) -> None:
    store = open_objects(f"file://{tmp_path}")
    store.put("a", b"before")
    with pytest.raises(OSError, match="absent"):
        store.put("a", tmp_path / "absent")
    assert store.get("a").body == b"before"
    assert store.list("") == ["a"]
    assert [path.name for path in tmp_path.iterdir() if "aside" in path.name] == []


def test_an_object_is_no_folder(tmp_path: Path) -> None:
    """A folder can't hold `a` and `a/b`: it is said, and nothing is lost."""
    store = open_objects(f"file://{tmp_path}")
    store.put("a", b"x")
    store.put("b/c", b"x")
    for key in ("a/b", "a/b/c", "b"):
        for condition in ({}, {"if_absent": True}, {"if_match": "x"}):
            with pytest.raises(ObjectConflict):
                store.put(key, b"y", **condition)  # type: ignore[arg-type]
    assert store.list("") == ["a", "b/c"]


# URLs.


@pytest.mark.parametrize(
    "url",
    ["", "x", "/srv/registry", "file:", "file://host/dir", "file://dir", "http://host/dir", "s3:",
     "s3://", "s3:///prefix", "s3://[bucket", "file://[x/y", "s3://bucket?endpoint=localhost",
     "s3://bucket?endpont=http://localhost:1", "s3://bucket?region=a&region=b",
     "file:///dir?endpoint=x", "file:///dir#x"],
)  # fmt: skip
def test_a_url_that_is_no_store(url: str) -> None:
    with pytest.raises(BadStoreUrl) as caught:
        open_objects(url)
    assert caught.value.next_step
