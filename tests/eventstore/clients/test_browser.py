"""A real browser runs a real tracker in a page of another origin."""

import functools
import json
import os
import shutil
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

BUNDLE = (
    Path(__file__).parent.parent.parent
    / "browser/node_modules/@snowplow/browser-tracker/dist/index.umd.min.js"
)
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PAGE = """<!doctype html><meta charset="utf-8"><title>Käse</title>
<script src="tracker.js"></script>
<script>
const {newTracker, trackPageView, trackStructEvent} = window.snowplowBrowserTracking;
newTracker("sp", "COLLECTOR", {appId: "shop"});
trackPageView();
// The tracker sends again what failed when it has something new to send.
const add = value => trackStructEvent({category: "cart", action: "add", label: "Käse", value});
[1, 2, 3].forEach(n => setTimeout(add, 400 * n, n));
</script>
"""


@pytest.fixture
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("not run: no chromium")
    return found


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The origin of a site, and the folder with its pages, where the tracker is already."""
    if not BUNDLE.exists():
        pytest.skip("not run: the tracker is not installed: make tracker, which needs npm")
    shutil.copy(BUNDLE, tmp_path / "tracker.js")
    handler = functools.partial(_Quiet, directory=str(tmp_path))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://localhost:{server.server_port}", tmp_path
    server.shutdown()
    server.server_close()
    thread.join(30)


@pytest.fixture
def browse(chromium: str, tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Opens a page in a browser of its own, which ends with the test."""
    running: list[subprocess.Popen[bytes]] = []

    def open_page(url: str) -> None:
        profile = f"--user-data-dir={tmp_path / 'profile'}"
        command = [chromium, *QUIET, profile, "--remote-debugging-port=0", url]
        running.append(
            subprocess.Popen(
                command,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        )

    yield open_page
    for one in running:
        os.killpg(one.pid, signal.SIGKILL)
        one.wait(30)


def test_a_page_of_another_origin_sends_with_the_snowplow_tracker(
    new_store: Callable[..., Any],
    new_proxy: Callable[..., Any],
    site: tuple[str, Path],
    browse: Callable[[str], None],
    until: Any,
):
    origin, folder = site
    store = new_store(endpoint={"origins": [origin]})
    proxy = new_proxy(store.port, "cut", 503)
    (folder / "index.html").write_text(PAGE.replace("COLLECTOR", f"{proxy.url}/snowplow"))
    browse(f"{origin}/index.html")

    until(lambda: len(store.events()) == 4)
    assert proxy.faults == []
    sent: dict[str, bytes] = {}
    methods = Counter(exchange.method for exchange in proxy.exchanges)
    for exchange in proxy.exchanges:
        assert exchange.headers["Origin"] == origin
        if exchange.method == "POST":
            text = exchange.body.decode()
            for one in json.loads(text)["data"]:
                event = json.dumps(one, separators=(",", ":"), ensure_ascii=False)
                assert event in text
                sent.setdefault(one["eid"], event.encode())
    events = store.events()
    assert methods["OPTIONS"] >= 1
    assert Counter(event.body for event in events) == Counter(sent.values())
    found = [store.found(event) for event in events]
    assert {one["name"] for one in found} == {"page_view", "struct"}
    assert all(one["browser"].startswith("HeadlessChrome") for one in found)
