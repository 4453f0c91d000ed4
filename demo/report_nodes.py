"""Each node's releases as bars; what never served lies hatched beside what did."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from demo.report_data import NodeRelease
from demo.report_frame import CHARACTER_PX, Frame, fitting
from demo.report_svg import box, element, label, title

BAR_CHARACTER_PX = 7.2
FAULT_PX = 7


def node_rows(frame: Frame) -> str:
    parts = []
    for place, node in enumerate(frame.nodes):
        top = frame.nodes_top + place * frame.layout.row
        bars = [bar for bar in frame.story.node_releases if bar.node == node]
        if frame.layout.names_above:
            parts.append(label(node, frame.layout.left, top + 14, class_="strong"))
            top += 20
        else:
            name_y = top + frame.layout.bar - 4
            parts.append(label(node, frame.layout.left - 12, name_y, class_="end strong"))
        parts += (_bar(frame, bar, top) for bar in bars if bar.serving)
        parts += _faults(frame, [bar for bar in bars if not bar.serving], top)
    return "".join(parts)


def _bar(frame: Frame, bar: NodeRelease, top: float) -> str:
    left, right = _clipped(frame, bar)
    if right <= left:
        return ""
    colour = frame.story.colour(bar.release)
    names = (bar.release, bar.release.partition("-")[0])
    text = fitting(right - left - 10, *names, character_px=BAR_CHARACTER_PX)
    name = label(text, left + 6, top + frame.layout.bar - 4.5, class_=f"on-{colour}")
    said = title(f"{bar.node} served {bar.release} {_between(frame, bar)}")
    drawn = box(left, top, right - left - 1, frame.layout.bar, rx=2.5, class_=colour)
    return element("g", said, drawn, name if text else "")


def _faults(frame: Frame, bars: Sequence[NodeRelease], top: float) -> Iterator[str]:
    """Beside the serving bar, for that is what happened: they never took over. Their names stand
    before or after them, where there is more room."""
    y = top + frame.layout.bar + 1.5
    taken_to = float(frame.layout.left)
    for bar, following in itertools.zip_longest(bars, bars[1:]):
        left, right = _clipped(frame, bar)
        if right <= left:
            continue
        right = max(right, left + 4)
        before = left - taken_to
        after = (_clipped(frame, following)[0] if following else frame.right) - right
        version = bar.release.partition("-")[0]
        text = fitting(max(before, after) - 10, f"{version} {bar.state}", version)
        x, kind = (right + 5, "small") if after >= before else (left - 5, "small end")
        hatch = f"url(#hatch-{frame.layout.name})"
        yield element(
            "g",
            title(f"{bar.node}: {bar.release} {bar.state} {_between(frame, bar)}"),
            box(left, y, right - left, FAULT_PX, class_="fault"),
            box(left, y, right - left, FAULT_PX, fill=hatch, class_="stripes"),
            label(text, x, y + FAULT_PX + 1, class_=kind) if text else "",
        )
        taken_to = right + 5 + len(text) * CHARACTER_PX if after >= before else right


def _clipped(frame: Frame, bar: NodeRelease) -> tuple[float, float]:
    left = frame.x(max(bar.from_t, frame.story.from_t))
    return left, frame.x(min(bar.to_t, frame.story.to_t))


def _between(frame: Frame, bar: NodeRelease) -> str:
    return f"from {frame.clock(bar.from_t)} to {frame.clock(bar.to_t)}"
