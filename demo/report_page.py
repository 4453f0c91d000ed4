"""The page around the picture: verdict, headline figures, tables, environment."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from demo.receipt_text import speeds
from demo.report_data import Story
from demo.report_frame import LAYOUTS
from demo.report_marks import glyph
from demo.report_scale import clock
from demo.report_svg import box, element, line
from demo.report_timeline import draw

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
FOOTER = (
    "A request has failed when it was refused, reset, timed out, or answered with anything but a "
    "2xx and a true receipt; none is tried again. Lost: acknowledged, and not in the store as it "
    "was sent. Duplicated: visible twice to a reader. Phantom: stored, and never sent. Latency is "
    "drawn by the moment a request began, on a logarithmic scale."
)


def page(story: Story) -> str:
    """The whole document."""
    head = "".join(
        (
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            element("title", f"{_headline(story)} · evctl demo"),
            f"<style>{_beside('report.css')}</style>",
        )
    )
    main = element(
        "main",
        _verdict(story),
        _zeros(story),
        _strip(story),
        _picture(story),
        _swaps(story),
        element("div", _rollouts(story), _speed(story), class_="pair"),
        element("div", _nodes(story), _environment(story), class_="pair"),
        element("footer", escape(FOOTER)),
    )
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{main}<div id="tip"></div>'
        f'<script type="application/json" id="run">{_data(story)}</script>'
        f"<script>{_beside('report.js')}</script></body></html>\n"
    )


def _beside(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _data(story: Story) -> str:
    buckets = [
        [
            one.at,
            one.seconds,
            one.requests,
            one.failed,
            *(round(value, 2) for value in (one.p50_ms, one.p99_ms, one.max_ms)),
        ]
        for one in story.figures.buckets
    ]
    swaps = [[one.flipped_at, one.node, one.to] for one in story.swaps]
    document = json.dumps({"zero": story.zero_t, "buckets": buckets, "swaps": swaps})
    return document.replace("<", "\\u003c")


def _headline(story: Story) -> str:
    return "Not good" if story.reasons else "Nothing was lost"


def _verdict(story: Story) -> str:
    receipt, figures = story.receipt, story.figures
    kind = "bad" if story.reasons else "good"
    mark = "✗" if story.reasons else "✔"
    seconds = len(figures.buckets) * (figures.buckets[0].seconds if figures.buckets else 0)
    lead = (
        f"{len(story.swaps)} swaps on {len(receipt.nodes)} nodes in {len(receipt.rollouts)} "
        f"rollouts, under {figures.sent / seconds if seconds else 0:,.0f} requests a second for "
        f"{clock(seconds)} minutes."
    )
    return element(
        "header",
        element("p", escape(" · ".join(_eyebrow(story))), class_="eyebrow"),
        element("h1", f"{mark} {_headline(story)}", class_=kind),
        element("p", escape(lead), class_="lead"),
        _list("ul", story.reasons, "reasons") if story.reasons else "",
    )


def _eyebrow(story: Story) -> Iterable[str]:
    yield "evctl demo"
    if date := story.receipt.environment.get("date"):
        yield date
    yield f"driver {story.receipt.driver}"


def _zeros(story: Story) -> str:
    requests, events = story.receipt.requests, story.receipt.events
    cards = (
        (requests.failed, "requests failed", f"of {requests.sent:,} sent"),
        (events.lost, "events lost", f"of {events.acked:,} acknowledged"),
        (events.duplicated, "duplicated", f"of {events.stored:,} stored"),
        (events.phantom, "phantoms", "stored and never sent"),
    )
    return element(
        "section",
        *(
            element(
                "div",
                element("b", f"{count:,}", class_="bad" if count else "good"),
                element("div", escape(name), class_="name"),
                element("div", escape(of), class_="of"),
                class_="card",
            )
            for count, name, of in cards
        ),
        class_="zeros",
        aria_label="Headline figures",
    )


def _strip(story: Story) -> str:
    receipt = story.receipt
    requests, aggregates = receipt.requests, receipt.aggregates
    wrong = "bad" if aggregates.mismatches else ""
    cells = (
        ("Median latency", f"{requests.p50_ms:g} <small>ms</small>", ""),
        ("p99", f"{requests.p99_ms:g} <small>ms</small>", ""),
        ("Slowest request", f"{requests.max_ms:g} <small>ms</small>", ""),
        ("Swaps", f"{len(story.swaps):,}", ""),
        ("Aggregate windows", f"{aggregates.windows:,}", ""),
        ("Counts that differ", f"{aggregates.mismatches:,}", wrong),
    )
    return element(
        "dl",
        *(
            element("div", element("dt", name), element("dd", value, class_=kind or None))
            for name, value, kind in cells
        ),
        class_="card strip",
    )


def _picture(story: Story) -> str:
    return element(
        "section",
        element("h2", "The run"),
        element(
            "p",
            "One time axis for everything. Numbers below the charts are swaps, listed underneath.",
            class_="hint",
        ),
        _legend(story),
        *(draw(story, layout) for layout in LAYOUTS),
        class_="card",
    )


def _legend(story: Story) -> str:
    entries = [
        (
            box(0, 1, 18, 10, rx=2, class_=story.colour(name)),
            f'<span class="id">{escape(name)}</span>',
        )
        for name in story.releases
    ]
    entries.append((line(9, 0, 9, 12, class_="swap"), "swap, in the new release’s colour"))
    if any(not swap.ok for swap in story.swaps):
        entries.append((line(9, 0, 9, 12, class_="swap bad"), "swap that failed"))
    if any(not bar.serving for bar in story.node_releases):
        stripes = "".join(line(x, 12, x + 6, 0, class_="hatch") for x in (0, 6, 12))
        entries.append((stripes, "release that never served"))
    items = (
        element("li", element("svg", mark, viewBox="0 0 18 12", aria_hidden="true"), text)
        for mark, text in entries
    )
    return element("ul", *items, class_="legend")


def _swaps(story: Story) -> str:
    rows = [
        (
            str(number),
            clock(swap.started_at - story.zero_t),
            escape(swap.node),
            _release(story, swap.from_),
            _release(story, swap.to),
            f"{swap.ready_s:.2f}" if swap.ok else "–",
            f"{swap.drain_s:.2f}" if swap.ok else "–",
            f"{swap.total_s:.2f}",
            escape(swap.rollout),
            "✔ served" if swap.ok else '<span class="bad">✗ failed</span>',
        )
        for number, swap in enumerate(story.swaps, 1)
    ]
    names = ("#", "at", "node", "from", "to", "ready s", "drain s", "total s", "rollout", "outcome")
    table = _table(names, rows, right={0, 1, 5, 6, 7})
    heading = element("summary", f"Swaps ({len(rows)})")
    return element("details", heading, table, class_="card", open="open")


def _rollouts(story: Story) -> str:
    rows = []
    for one in story.receipt.rollouts:
        state = escape(one.state.replace("_", " "))
        rows.append(
            (
                f"{escape(one.id)}",
                _release(story, one.to),
                f"{glyph(one.state)} {state}",
                str(one.nodes),
                str(one.swaps),
                f"{one.duration_s:.1f}",
            )
        )
    table = _table(("rollout", "to", "state", "nodes", "swaps", "s"), rows, right={3, 4, 5})
    return element("section", element("h2", "Rollouts"), table, class_="card")


def _speed(story: Story) -> str:
    rows = []
    for name, value, bound, unit in speeds(story.receipt):
        mark = "✔" if value <= bound else '<span class="bad">!</span>'
        rows.append((escape(name), f"{value:.2f} {unit}", f"{bound:g} {unit}", mark))
    if not rows:
        return ""
    table = _table(("measured", "is", "aim", ""), rows, right={1, 2})
    return element("section", element("h2", "Speed and size"), table, class_="card")


def _nodes(story: Story) -> str:
    rows = [
        (escape(name), escape(node.role), _release(story, node.release))
        for name, node in story.receipt.nodes.items()
    ]
    table = _table(("node", "role", "release at the end"), rows, right=set())
    return element("section", element("h2", "Nodes"), table, class_="card")


def _environment(story: Story) -> str:
    receipt, figures = story.receipt, story.figures
    connections = ", ".join(f"{n:,} {kind}" for kind, n in figures.by_connection.items())
    facts = {
        "driver": f"{receipt.driver}: {receipt.why_driver}",
        **receipt.environment,
        "requests by connection": connections or "none",
        "events sent": f"{figures.events_sent:,}, {figures.body_bytes / 1e6:,.1f} MB of bodies",
        "furthest behind schedule": f"{figures.late_max_ms:,.0f} ms",
    }
    if receipt.failures_by_kind:
        kinds = (f"{kind} {n:,}" for kind, n in sorted(receipt.failures_by_kind.items()))
        facts["failures"] = ", ".join(kinds)
    items = (element("dt", escape(k)) + element("dd", escape(v)) for k, v in facts.items())
    return element(
        "section",
        element("h2", "Environment"),
        element("dl", *items, class_="facts"),
        class_="card",
    )


def _release(story: Story, name: str) -> str:
    if not name:
        return "none"
    dot = element("span", class_=f"dot {story.colour(name)}")
    return f'{dot}<span class="id">{escape(name)}</span>'


def _table(names: Sequence[str], rows: Sequence[Sequence[str]], *, right: set[int]) -> str:
    """`rows` are markup; `right`: the columns of numbers."""

    def cells(kind: str, values: Sequence[str]) -> str:
        parts = (
            element(kind, value, class_="n" if k in right else None)
            for k, value in enumerate(values)
        )
        return element("tr", *parts)

    head = element("thead", cells("th", names))
    body = element("tbody", *(cells("td", row) for row in rows))
    return element("div", element("table", head, body), class_="scroll")


def _list(kind: str, texts: Iterable[str], class_: str) -> str:
    return element(kind, *(element("li", escape(text)) for text in texts), class_=class_)
