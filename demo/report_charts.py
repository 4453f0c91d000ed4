"""The two charts: latency on a logarithmic scale, throughput with its failures."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from demo.figures import Bucket
from demo.report_frame import Frame
from demo.report_scale import Linear, Logarithmic, milliseconds, ratios, round_down, round_up
from demo.report_svg import box, element, label, line, title


def latency(frame: Frame) -> str:
    buckets = frame.story.figures.buckets
    whole = _whole(buckets)
    top, end = frame.latency_top, frame.latency_end
    parts = [frame.panel_title("Request latency", top), _latency_legend(frame, top)]
    if not buckets:
        return "".join(parts)
    low = round_down(max(min(one.p50_ms for one in buckets), 0.01))
    high = max(round_up(max(one.max_ms for one in buckets)), low * 10)
    y = Logarithmic(low, high, end, top)
    for tick in ratios(low, high):
        parts += frame.level(y(tick), milliseconds(tick))
    for run in _unbroken(whole):
        upper = [(frame.middle(one), y(one.p99_ms)) for one in run]
        lower = [(frame.middle(one), y(one.p50_ms)) for one in run]
        parts.append(element("path", d=_path([*upper, *reversed(lower)]) + "Z", class_="band"))
        parts.append(element("path", d=_path(upper), class_="p99"))
        parts.append(element("path", d=_path(lower), class_="p50"))
    dots = (element("circle", cx=frame.middle(one), cy=y(one.max_ms), r=1.3) for one in buckets)
    parts.append(element("g", *dots, class_="max"))
    return "".join(parts)


def _latency_legend(frame: Frame, top: float) -> str:
    parts = []
    x = frame.right - 150.0
    for name in ("p50", "p99", "max"):
        mark = (
            element("circle", cx=x + 8, cy=top - 14, r=2)
            if name == "max"
            else line(x, top - 14, x + 16, top - 14)
        )
        parts.append(element("g", mark, class_=name))
        parts.append(label(name, x + 21, top - 10))
        x += 53
    return "".join(parts)


def throughput(frame: Frame) -> str:
    buckets = frame.story.figures.buckets
    top, end = frame.rate_top, frame.rate_end
    parts = [frame.panel_title("Requests a second", top)]
    if not buckets:
        return "".join(parts)
    y = Linear(0, round_up(max(max(one.rate for one in buckets) * 1.02, 1)), end, top)
    for tick in (0, y.high / 2, y.high):
        parts += frame.level(y(tick), f"{tick:g}")
    line_ = [(frame.middle(one), y(one.rate)) for one in _filled(_whole(buckets))]
    area = [(line_[0][0], y(0)), *line_, (line_[-1][0], y(0))]
    parts.append(element("path", d=_path(area) + "Z", class_="area"))
    parts.append(element("path", d=_path(line_), class_="rate"))
    for one in buckets:
        if one.failed:
            height = max(end - y(one.failed / one.seconds), 3)
            said = title(f"{one.failed} failed at {frame.clock(one.at)}")
            x = frame.middle(one) - 1.5
            parts.append(box(x, end - height, 3, height, said, class_="failed"))
    return "".join(parts)


def _path(points: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _whole(buckets: Sequence[Bucket]) -> Sequence[Bucket]:
    """Without the first and the last: the load fills them only partly, which looks like a dip."""
    return buckets[1:-1] if len(buckets) > 4 else buckets


def _unbroken(buckets: Sequence[Bucket]) -> Iterable[list[Bucket]]:
    """Runs without a gap: a line across a gap would claim requests that were not made."""
    run: list[Bucket] = []
    for one in buckets:
        if run and one.at - run[-1].at > one.seconds * 1.5:
            yield run
            run = []
        run.append(one)
    yield run


def _filled(buckets: Sequence[Bucket]) -> list[Bucket]:
    """With an empty bucket wherever nothing was sent."""
    filled = [buckets[0]]
    for before, one in itertools.pairwise(buckets):
        missing = round((one.at - before.at) / one.seconds) - 1
        for k in range(1, missing + 1):
            at = before.at + k * one.seconds
            filled.append(Bucket(at, one.seconds, 0, 0, 0.0, 0.0, 0.0))
        filled.append(one)
    return filled
