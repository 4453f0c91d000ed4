"""Marks across the picture: rollouts and other spans as shades, swaps as numbered lines."""

from __future__ import annotations

from collections.abc import Iterable

from demo.report_data import Swap
from demo.report_frame import CHARACTER_PX, HEAD_PX, STRONG_PX, Frame, fitting
from demo.report_svg import box, element, label, line, title

SMALL_CHARACTER_PX = 6.8

Group = tuple[int, int, float, float]  # numbers of the first and the last swap, and their places


def rollouts(frame: Frame) -> str:
    parts = []
    for rollout in frame.story.receipt.rollouts:
        if not rollout.started_at or not rollout.ended_at:
            continue
        left, right = frame.x(rollout.started_at), frame.x(rollout.ended_at)
        kind = "span" if rollout.state == "converged" else "span bad"
        text = fitting(
            right - left - 4,
            f"{rollout.id} {glyph(rollout.state)} {rollout.state.replace('_', ' ')}",
            f"{rollout.id} {glyph(rollout.state)}",
            f"{short_id(rollout.id)} {glyph(rollout.state)}",
            short_id(rollout.id),
            character_px=STRONG_PX,
        )
        said = title(
            f"{rollout.id}: {rollout.from_} → {rollout.to}, {rollout.state},"
            f" {rollout.duration_s:.1f} s"
        )
        parts.append(
            element(
                "g",
                said,
                box(left, 0, right - left, frame.nodes_end, class_=kind),
                box(left, 0, right - left, 3, class_=f"{kind} edge"),
                label(text, (left + right) / 2, 18, class_="middle strong") if text else "",
            )
        )
    return "".join(parts)


def spans(frame: Frame) -> str:
    parts = []
    for span in frame.story.spans:
        left, right = frame.x(span.from_t), frame.x(span.to_t)
        fill = f"url(#away-{frame.layout.name})"
        bar = box(left, HEAD_PX + 4, max(right - left, 2), 13, rx=2, fill=fill, class_="away")
        after = right + 6 + len(span.label) * CHARACTER_PX < frame.right
        text = label(
            span.label,
            right + 6 if after else left - 6,
            HEAD_PX + 14.5,
            class_="" if after else "end",
        )
        said = f"{span.label}: {frame.clock(span.from_t)} to {frame.clock(span.to_t)}"
        parts.append(element("g", title(said), bar, text))
    return "".join(parts)


def swaps(frame: Frame) -> str:
    parts = []
    for number, swap in enumerate(frame.story.swaps, 1):
        x = frame.x(swap.flipped_at)
        paint = f"swap s-{frame.story.colour(swap.to)}" if swap.ok else "swap bad"
        said = title(f"{number}. {swap_sentence(swap)}, at {frame.clock(swap.flipped_at)}")
        parts.append(line(x, frame.latency_top, x, frame.rate_end + 5, said, class_=paint))
    for text, x in _numbers(frame):
        parts.append(label(text, x, frame.rate_end + 17, class_="middle small"))
    return "".join(parts)


def _numbers(frame: Frame) -> Iterable[tuple[str, float]]:
    """A number for each swap, and where it goes; those that would overlap share "3–7"."""
    groups: list[Group] = []
    for number, swap in enumerate(frame.story.swaps, 1):
        x = frame.x(swap.flipped_at)
        group = (number, number, x, x)
        while groups and _overlap(groups[-1], group):
            before = groups.pop()
            group = (before[0], group[1], before[2], group[3])
        groups.append(group)
    for group in groups:
        yield _numbered(group), (group[2] + group[3]) / 2


def _overlap(before: Group, after: Group) -> bool:
    between = (after[2] + after[3] - before[2] - before[3]) / 2
    characters = len(_numbered(before)) + len(_numbered(after))
    return between < characters / 2 * SMALL_CHARACTER_PX + 3


def _numbered(group: Group) -> str:
    return f"{group[0]}" if group[0] == group[1] else f"{group[0]}–{group[1]}"


def swap_sentence(swap: Swap) -> str:
    """collector-01: 0.1.0-… → 0.2.0-…, ready after 0.4 s."""
    outcome = f"ready after {swap.ready_s:.2f} s" if swap.ok else "failed: the old one went on"
    return f"{swap.node}: {swap.from_ or 'nothing'} → {swap.to}, {outcome}"


def glyph(state: str) -> str:
    """✔ converged, ↩ rolled back or about to be, ✗ anything else."""
    return "✔" if state == "converged" else "↩" if state.startswith("roll") else "✗"


def short_id(rollout: str) -> str:
    """R000012 → R12."""
    digits = rollout.lstrip("R")
    return f"R{int(digits)}" if digits.isdecimal() else rollout
