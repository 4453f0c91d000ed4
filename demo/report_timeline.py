"""The picture: latency, throughput, swaps and releases over one time axis, as SVG.

It is drawn once for each width of screen: text that shrinks with the picture can't be read.
"""

from __future__ import annotations

from demo.report_charts import latency, throughput
from demo.report_data import Story
from demo.report_frame import Frame, Layout
from demo.report_marks import rollouts, spans, swaps
from demo.report_nodes import node_rows
from demo.report_scale import clock, seconds
from demo.report_svg import element, label, line


def draw(story: Story, layout: Layout) -> str:
    """An <svg> with a title and a description; ids carry the layout's name."""
    frame = Frame(story, layout)
    name = layout.name
    return element(
        "svg",
        element("title", "The run over time", id=f"title-{name}"),
        element("desc", _description(frame.story), id=f"desc-{name}"),
        _patterns(frame),
        rollouts(frame),
        spans(frame),
        _time_grid(frame),
        swaps(frame),
        latency(frame),
        throughput(frame),
        node_rows(frame),
        element(
            "g",
            line(0, frame.latency_top, 0, frame.nodes_end),
            class_="cursor",
            visibility="hidden",
        ),
        viewBox=f"0 0 {frame.layout.width} {frame.height}",
        class_=f"timeline {name}",
        role="img",
        aria_labelledby=f"title-{name} desc-{name}",
        data_from=f"{frame.story.from_t:.3f}",
        data_to=f"{frame.story.to_t:.3f}",
        data_left=frame.layout.left,
        data_right=frame.right,
        data_width=frame.layout.width,
    )


def _patterns(frame: Frame) -> str:
    stripes = (
        element(
            "pattern",
            line(0, 0, 0, 6, class_=kind),
            id=f"{kind}-{frame.layout.name}",
            width=5,
            height=6,
            patternUnits="userSpaceOnUse",
            patternTransform="rotate(45)",
        )
        for kind in ("hatch", "away")
    )
    return element("defs", *stripes)


def _time_grid(frame: Frame) -> str:
    zero_t = frame.story.zero_t
    parts = []
    low, high = frame.story.from_t - zero_t, frame.story.to_t - zero_t
    for tick in seconds(low, high, frame.layout.ticks_max):
        x = frame.x(zero_t + tick)
        parts.append(line(x, frame.latency_top, x, frame.nodes_end, class_="grid"))
        parts.append(label(clock(tick), x, frame.nodes_end + 18, class_="middle faint"))
    return "".join(parts)


def _description(story: Story) -> str:
    receipt = story.receipt
    return (
        f"{receipt.requests.sent:,} requests, {receipt.requests.failed:,} failed; median latency "
        f"{receipt.requests.p50_ms:g} ms, p99 {receipt.requests.p99_ms:g} ms. {len(story.swaps)} "
        f"swaps on {len(receipt.nodes)} nodes in {len(receipt.rollouts)} rollouts. The tables "
        "below have all of it."
    )
