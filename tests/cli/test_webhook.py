"""Webhooks against a real HTTP server: what it is sent, and that nothing it does holds us up."""

from __future__ import annotations

import functools
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import cli.announce
import cli.asked
from cli.announce import message
from cli.fleet import Fleet
from cli.history.entry import Head
from cli.main import run
from cli.webhook import WAITING_MAX, NoWebhook, Webhook, read_url
from tests.cli.conftest import World
from tests.rollout.documents_of import document_of
from tests.rollout.fake_fleet import DIED, FakeFleet

SECRET = "T0K3N-5ecret"
SEND_S = 0.3


@dataclass
class Room:
    """A chat room that answers as a test tells it to."""

    url: str = ""
    got: list[tuple[dict, dict]] = field(default_factory=list)
    answer: Callable[[BaseHTTPRequestHandler], None] = lambda request: _say(request, 200)
    over: threading.Event = field(default_factory=threading.Event)

    def texts(self) -> list[str]:
        return [body["text"] for _, body in self.got]


def _say(request: BaseHTTPRequestHandler, status: int, **headers: str) -> None:
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name, value)
    request.send_header("Content-Length", "0")
    request.end_headers()


@pytest.fixture
def room() -> Iterator[Room]:
    made = Room()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.got.append((dict(self.headers), json.loads(body)))
            made.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    serving = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    serving.start()
    made.url = f"http://127.0.0.1:{server.server_address[1]}/services/{SECRET}"
    try:
        yield made
    finally:
        made.over.set()
        server.shutdown()
        server.server_close()
        serving.join()


@pytest.fixture
def complaints() -> list[str]:
    return []


def _post(url: str, complaints: list[str], count: int = 1) -> float:
    """How long it took, from the first message to the end of it all."""
    began = time.monotonic()
    webhook = Webhook(url, complaints.append, SEND_S)
    for number in range(count):
        webhook.post({"text": str(number)})
    webhook.close()
    return time.monotonic() - began


def test_messages_arrive_in_order(room, complaints):
    _post(room.url, complaints, 10)
    assert room.texts() == [str(number) for number in range(10)]
    assert room.got[0][0]["Content-Type"] == "application/json"
    assert complaints == []


def _hang(room: Room) -> Callable[[BaseHTTPRequestHandler], None]:
    return lambda request: room.over.wait(30) or None


def _trickle(room: Room) -> Callable[[BaseHTTPRequestHandler], None]:
    """A byte now and then: no single read takes long."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not room.over.wait(SEND_S / 6):
            request.wfile.write(b"x")

    return answer


ANSWERS = {
    "an error": (lambda _: lambda request: _say(request, 500), "it answered 500"),
    "too many": (lambda _: lambda request: _say(request, 429), "it answered 429"),
    "another place": (
        lambda _: lambda request: _say(request, 302, Location="http://127.0.0.1:1/"),
        "it answered 302",
    ),
    "nothing, ever": (_hang, "no answer"),
    "a byte now and then": (_trickle, "no answer within"),
    "a connection that ends": (lambda _: lambda request: request.connection.close(), "reached"),
    "nonsense": (
        lambda _: lambda request: request.wfile.write(b"SSH-2.0-x\r\n") and None, "reached"),
}  # fmt: skip


@pytest.mark.parametrize("how", ANSWERS)
def test_whatever_it_answers_is_told_and_holds_nobody_up(room, complaints, how):
    answer, why = ANSWERS[how]
    room.answer = answer(room)
    assert _post(room.url, complaints) < SEND_S + 2
    assert complaints
    assert why in complaints[0]
    assert SECRET not in str(complaints)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://nowhere.invalid/", "http://[::1/"])
def test_one_that_is_not_there(complaints, url):
    assert _post(url + SECRET, complaints) < SEND_S + 5
    assert complaints
    assert "reached" in complaints[0]
    assert SECRET not in str(complaints)


def test_what_waits_is_bounded(room, complaints):
    room.answer = _hang(room)
    assert _post(room.url, complaints, WAITING_MAX + 20) < 2 * SEND_S + 2
    assert len([why for why in complaints if "dropped" in why]) >= 18


# Its URL is a secret


def _file(tmp_path, body: bytes, mode: int = 0o600):
    path = tmp_path / "webhook"
    path.write_bytes(body)
    path.chmod(mode)
    return path


def test_the_url_is_read_from_a_file(tmp_path):
    path = _file(tmp_path, b"https://hooks.example.org/services/x\n")
    assert read_url(path) == "https://hooks.example.org/services/x"


@pytest.mark.parametrize(
    ("body", "mode"),
    [
        (f"https://h/{SECRET}".encode(), 0o644),
        (SECRET.encode(), 0o600),
        (f"ftp://h/{SECRET}".encode(), 0o600),
        (f"file:///etc/{SECRET}".encode(), 0o600),
        (f"https://h/{SECRET}\nhttps://h/2".encode(), 0o600),
        (f"https://h/{SECRET} x".encode(), 0o600),
        (f"https://h/\xff{SECRET}".encode("latin-1"), 0o600),
        (b"", 0o600),
        (b"https://h/" + b"x" * 5000 + SECRET.encode() + b" ", 0o644),
    ],
)
def test_a_file_that_does_not_do_is_refused_without_being_quoted(tmp_path, body, mode):
    with pytest.raises(NoWebhook) as caught:
        read_url(_file(tmp_path, body, mode))
    assert SECRET not in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    with pytest.raises(NoWebhook):
        read_url(tmp_path / "none")


# What is said


def test_what_slack_would_make_something_of_is_escaped():
    document = replace(document_of({"web-1": "web"}), reason="<!channel> & <http://x|y>")
    said = json.dumps(message("prod", document, None))
    assert "&lt;!channel&gt; &amp; &lt;http://x|y&gt;" in said
    assert "<" not in said


def test_the_shape():
    said = message("prod", document_of({"web-1": "web", "web-2": "web"}), Head(42, "ab" * 32))
    assert said["text"] == (
        "● R000001 running: rollout to 1.1.0-bbbbbbbbbbbb on web-[1-2] · by ada"
    )
    (attachment,) = said["attachments"]
    fields = {f["title"]: f["value"] for f in attachment["fields"]}
    assert fields == {
        "fleet": "prod", "rollout": "R000001", "state": "running", "by": "ada",
        "release": "1.1.0-bbbbbbbbbbbb", "nodes": "web-[1-2]", "history": "42:abababababababab",
    }  # fmt: skip


# With a rollout


@pytest.fixture
def nodes(monkeypatch) -> FakeFleet:
    fake = FakeFleet.of(["web-01", "web-02", "db-01"])
    monkeypatch.setattr(cli.asked, "SaltClient", lambda *_: fake)
    monkeypatch.setattr(cli.announce, "Webhook", functools.partial(Webhook, send_s=SEND_S))
    return fake


@pytest.fixture
def evctl(world: World, nodes, room, capsys):
    _file(world.root, room.url.encode())
    world.set(webhook="webhook")

    def call(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        code = run(["--fleet", str(world.fleet), *arguments])
        shown = capsys.readouterr()
        return code, shown.out + shown.err

    return call


def _roll_out(evctl, release: str, *more: str) -> tuple[int, str]:
    where = ("--range", "role:web", "--to", release, "--bake", "0", "--yes")
    return evctl("rollout", *where, *more)


def test_a_rollout_is_told_with_each_state(evctl, world, nodes, room):
    release = world.release()
    nodes.fails = {("web-01", "evrelease.converge"): DIED}
    code, shown = _roll_out(evctl, release, "--reason", "faster")
    assert code == 5
    assert [text.split(":")[0] for text in room.texts()] == [
        "● R000001 running", "● R000001 rolling_back", "✗ R000001 rolled_back"]  # fmt: skip
    last = {f["title"]: f["value"] for f in room.got[-1][1]["attachments"][0]["fields"]}
    assert last["why"] == "faster"
    assert evctl("history", "verify", "--head", last["history"])[0] == 0
    assert SECRET not in shown
    for path in world.root.rglob("*"):
        if path.is_file() and path.name != "webhook":
            assert SECRET.encode() not in path.read_bytes(), path


@pytest.mark.parametrize("how", ["an error", "nothing, ever", "a byte now and then"])
def test_a_webhook_that_fails_holds_no_rollout_up_and_is_told(evctl, world, nodes, room, how):
    release = world.release()
    room.answer = ANSWERS[how][0](room)
    code, shown = _roll_out(evctl, release)
    assert code == 0
    assert nodes.serving["web-02"] == release
    assert "? webhook: " in shown
    assert SECRET not in shown
    assert "R000001 converged" in shown
    assert Fleet.load(world.fleet).documents().holders(time.time()) == {}


def test_without_a_usable_url_a_rollout_goes_on_and_says_so(evctl, world, nodes, room):
    release = world.release()
    (world.root / "webhook").chmod(0o644)
    code, shown = _roll_out(evctl, release)
    assert code == 0
    assert "? webhook: E5203" in shown
    assert not room.got
