"""The report: one page that loads nothing, says everything, and fits a phone."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import zlib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from demo.figures import add_up
from demo.ledger import Connection, Ledger, Outcome, Request, Run, read_requests
from demo.receipt import Aggregates, Events, Node, Receipt, Requests, Rollout, Speed
from demo.report import Span, write_report

T0 = 1_795_533_600.0
RUN_S = 60
OLD, NEW, BAD = "0.1.0-3fa9c1d27e08", "0.2.0-b71e44a90c5d", '0.3.0-<script>"&'
NODES = {
    "collector-01": "collector",
    "collector-02": "collector",
    "processor-01": "processor",
    "processor-02": "processor",
    "postprocessor-01": "postprocessor",
}
LOADING = {"src", "href", "srcset", "data", "action", "poster", "xlink:href", "background"}


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return written(tmp_path, failing=())


def written(folder: Path, *, failing: tuple[int, ...]) -> Path:
    """A report of a minute with five swaps and a failed canary; failing: seconds of resets."""
    ledger = folder / "ledger"
    with Ledger(ledger, Run("r1", ("http://a", "http://b"), T0, 20, 4, 2)) as writing:
        for place in range(RUN_S * 20):
            at = T0 + place / 20
            if 40 <= at - T0 < 43:
                continue  # a stall: it must show as one
            failed = int(at - T0) in failing
            writing.write(
                Request(
                    started_at=at,
                    started_mono=at - T0,
                    duration_ms=2 + place % 7,
                    late_ms=0,
                    status=0 if failed else 200,
                    outcome=Outcome.RESET if failed else Outcome.ACKED,
                    connection=Connection(place % 2),
                    target=0,
                    count=1,
                    first=writing.take(1),
                    body_bytes=200,
                    pack=bytes(16),
                )
            )
    figures = add_up(read_requests(ledger))
    receipt = Receipt(
        driver="process",
        why_driver="it was asked for",
        nodes={name: Node(role, NEW) for name, role in NODES.items()},
        requests=Requests.of(figures),
        events=Events(figures.events_acked, figures.events_acked, 0, 0, 0),
        rollouts=[
            Rollout("R000001", OLD, NEW, "converged", 5, 5, 12.0, T0 + 10, T0 + 22),
            Rollout("R000002", NEW, BAD, "rolled_back", 5, 1, 8.0, T0 + 30, T0 + 38),
        ],
        aggregates=Aggregates(2, 0),
        speed=Speed(pss_mib={"collector": 61.0}),
        failures_by_kind=figures.failures_by_kind,
        environment={"date": "24 November 2026", "cores": "2"},
    )
    path = folder / "report.html"
    write_report(
        path,
        receipt,
        ledger,
        [*swaps()],
        [*bars()],
        spans=[Span("registry unreachable", T0 + 45, T0 + 55)],
        requests_min=1000,
        swaps_min=6,
    )
    return path


def swaps() -> Iterator[dict[str, Any]]:
    for place, (node, role) in enumerate(NODES.items()):
        at = T0 + 11 + 2 * place
        yield {
            "node": node, "role": role, "from": OLD, "to": NEW, "started_at": at, "ready_s": 0.4,
            "drain_s": 0.7, "total_s": 1.1, "ended_at": at + 1.1, "rollout": "R000001", "ok": True,
        }  # fmt: skip
    yield {
        "node": "collector-01", "role": "collector", "from": NEW, "to": BAD, "started_at": T0 + 31,
        "ready_s": None, "drain_s": None, "total_s": 5.0, "ended_at": T0 + 36,
        "rollout": "R000002", "ok": False,
    }  # fmt: skip


def bars() -> Iterator[tuple[str, str, float, float, str]]:
    for place, node in enumerate(NODES):
        flip = T0 + 11.4 + 2 * place
        yield node, OLD, T0 - 30, flip, "serving"
        yield node, NEW, flip, T0 + RUN_S, "serving"
    yield "collector-01", BAD, T0 + 31, T0 + 36, "died at start"
    yield "collector-01", BAD, T0 + 39, T0 + 44, "never ready"


class Reading(HTMLParser):
    """What a page would load, what it says, and what it never closes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.open: list[str] = []
        self.ids: list[str] = []
        self.words: list[str] = []
        self.cells = 0
        self.scripts = 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "link", "img", "base", "br"):
            self.open.append(tag)
        self.scripts += tag == "script"
        self.cells += tag == "td"
        for name, value in attrs:
            if name in LOADING:
                self.loads.append(f"{tag} {name}={value}")
            if name == "id":
                self.ids.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_it_loads_nothing_and_is_well_formed(page: Path) -> None:
    text = page.read_text()
    reading = Reading(text)
    assert reading.loads == []
    assert reading.open == []
    assert len(set(reading.ids)) == len(reading.ids)
    assert reading.scripts == 2  # its data and its own code: nothing of what it shows became one
    assert not re.search(r"https?://|@import|url\((?!#)", text)
    assert "default-src 'none'" in text


def test_it_says_every_node_release_swap_and_rollout(page: Path) -> None:
    reading = Reading(page.read_text())
    words = " ".join(reading.words)
    for text in (*NODES, OLD, NEW, BAD, "R000001", "R000002", "registry unreachable"):
        assert text in words
    for number in range(1, 7):
        assert f" {number}. " in f" {words}"
    assert "died at start" in words
    assert "never ready" in words
    assert "✔ Nothing was lost" in words
    assert "it was asked for" in words


def test_what_failed_is_the_headline(tmp_path: Path) -> None:
    text = written(tmp_path, failing=(20, 21)).read_text()
    assert "✗ Not good" in text
    assert "40 requests failed (reset 40)" in text
    assert "20 failed at" not in text  # half a second each
    assert text.count('class="failed"') == 3 * 4


def test_nothing_at_all_makes_a_page_too(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger", Run("r1", ("http://a",), T0, 1, 1, 0)):
        pass
    nothing = Receipt(
        "process", "", {}, Requests(0, 0, 0, 0, 0), Events(0, 0, 0, 0, 0), [], Aggregates(0, 0)
    )
    write_report(tmp_path / "report.html", nothing, tmp_path / "ledger", [], [])
    assert "✗ Not good" in (tmp_path / "report.html").read_text()


def luminance(colour: str) -> float:
    def linear(part: float) -> float:
        return part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(int(colour[k : k + 2], 16) / 255) for k in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1])
def test_text_stands_out_in_both_schemes(page: Path, scheme: int) -> None:
    block = re.findall(r":root \{(.*?)\}", page.read_text(), re.DOTALL)[scheme]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
    for text in ("ink", "ink-2", "faint", "good", "bad"):
        assert contrast(colours[text], colours["card"]) >= 4.5, text
        assert contrast(colours[text], colours["page"]) >= 4.5, text
    assert contrast(colours["bad"], colours["bad-soft"]) >= 4.5
    for place in range(7):
        assert contrast(colours["on"], colours[f"r{place}"]) >= 4.5
        assert contrast(colours[f"r{place}"], colours["card"]) >= 3


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("not run: no chromium")
    return found


# Nothing but the page: no network, no questions, nothing kept.
BROWSE = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--hide-scrollbars",
)


def browse(chromium: str, page: Path, width: int, *more: str) -> str:
    own = (f"--user-data-dir={page.parent}/profile", f"--window-size={width},1400")
    done = subprocess.run(
        (chromium, *BROWSE, *own, *more, page.as_uri()),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


ASKS = """
const picture = [...document.querySelectorAll('.timeline')].find(e => e.clientWidth)
const marks = [...picture.querySelectorAll('text, .fault')]
  .map(e => [e.textContent || 'fault', e.getBoundingClientRect()])
const over = marks.flatMap(([one, a], k) => marks.slice(k + 1).filter(([other, b]) =>
  Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
  Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 2).map(([other]) => one + ' on ' + other))
parent.postMessage([document.documentElement.scrollWidth, innerWidth, picture.classList[1],
  over.join(', ') || window.wrong || 'fine'].join(' '), '*')
"""


@pytest.mark.parametrize(("width", "layout"), [(390, "narrow"), (800, "medium"), (1200, "wide")])
def test_a_browser_shows_it_whole_and_legible(
    chromium: str, page: Path, width: int, layout: str
) -> None:
    """The page tells the one around it: its widths, its visible layout, which labels in it lie on
    others or on what never served, and what went wrong.

    In a frame, for a window of the browser itself is never as narrow as a phone.
    """
    asks = f"<script>{ASKS}</script>"
    watch = "<script>window.onerror = e => { window.wrong = e }</script>"
    text = page.read_text().replace("<body>", f"<body>{watch}")
    page.with_name("framed.html").write_text(text.replace("</body>", f"{asks}</body>"))
    around = page.with_name("around.html")
    around.write_text(
        "<!doctype html><body><script>onmessage = e => { document.body.dataset.seen = e.data }"
        f'</script><iframe src="framed.html" style="border:0;width:{width}px;height:1400px">'
    )
    shown = browse(chromium, around, 1300, "--virtual-time-budget=3000", "--dump-dom")
    seen = re.search(r'data-seen="(\d+) (\d+) (\w+) ([^"]*)"', shown)
    assert seen is not None, shown[:2000]
    assert int(seen[2]) == width
    assert int(seen[1]) <= width
    assert seen[3] == layout
    assert seen[4] == "fine"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_screenshot_has_the_schemes_own_ground(chromium: str, page: Path, scheme: str) -> None:
    picture = page.with_name("shot.png")
    preference = f"--blink-settings=preferredColorScheme={int(scheme == 'light')}"
    browse(chromium, page, 1200, preference, f"--screenshot={picture}")
    png = picture.read_bytes()
    assert struct.unpack(">II", png[16:24]) == (1200, 1400)
    assert len(png) > 50_000  # an empty page takes a tenth of it
    blocks = re.findall(r":root \{(.*?)\}", page.read_text(), re.DOTALL)
    assert f"--page: {first_pixel(png)};" in blocks[scheme == "dark"]


def first_pixel(png: bytes) -> str:
    """As #rrggbb. It has no neighbours before it, so that no filter of the format changes it."""
    data, at = b"", 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        data += png[at + 8 : at + 8 + length] if png[at + 4 : at + 8] == b"IDAT" else b""
        at += 12 + length
    return "#" + zlib.decompress(data)[1:4].hex()
