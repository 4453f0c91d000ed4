"""The frame of the picture: where each part lies, for a width of screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from demo.figures import Bucket
from demo.report_data import Story
from demo.report_scale import Linear, clock
from demo.report_svg import label, line

CHARACTER_PX = 6.3  # of the 11 px text, on the generous side: decides whether a label fits
STRONG_PX = 7.9  # of the 12 px bold text
HEAD_PX = 26
LANE_PX = 22
TITLE_PX = 26
BETWEEN_PX = 36
NUMBERS_PX = 24
AXIS_PX = 26


@dataclass(frozen=True)
class Layout:
    """Sizes in px. `names_above`: nodes' names stand over their bars, not beside them."""

    name: str
    width: int
    left: int
    latency: int
    throughput: int
    bar: int
    row: int
    names_above: bool
    ticks_max: int
    right: int = 10


WIDE = Layout("wide", 1080, 128, 190, 90, 17, 31, names_above=False, ticks_max=14)
MEDIUM = Layout("medium", 700, 122, 170, 80, 17, 31, names_above=False, ticks_max=9)
NARROW = Layout("narrow", 348, 46, 150, 70, 15, 44, names_above=True, ticks_max=5, right=6)
LAYOUTS = (WIDE, MEDIUM, NARROW)


class Frame:
    """Every part's place, from the top down, and what all parts draw with. Sizes in px."""

    def __init__(self, story: Story, layout: Layout) -> None:
        self.story = story
        self.layout = layout
        self.right = layout.width - layout.right
        self.x = Linear(story.from_t, story.to_t, layout.left, self.right)
        self.nodes = _nodes(story)
        self.latency_top = HEAD_PX + (LANE_PX if story.spans else 0) + TITLE_PX
        self.latency_end = self.latency_top + layout.latency
        self.rate_top = self.latency_end + BETWEEN_PX
        self.rate_end = self.rate_top + layout.throughput
        self.nodes_top = self.rate_end + NUMBERS_PX
        self.nodes_end = self.nodes_top + layout.row * len(self.nodes)
        self.height = self.nodes_end + AXIS_PX

    def level(self, y: float, text: str) -> list[str]:
        return [
            line(self.layout.left, y, self.right, y, class_="grid"),
            label(text, self.layout.left - 8, y + 3.5, class_="end faint"),
        ]

    def panel_title(self, text: str, top: float) -> str:
        x = 0 if self.layout.names_above else self.layout.left
        return label(text, x, top - 10, class_="strong over")

    def middle(self, bucket: Bucket) -> float:
        return self.x(bucket.at + bucket.seconds / 2)

    def clock(self, moment: float) -> str:
        return clock(moment - self.story.zero_t)


def _nodes(story: Story) -> Sequence[str]:
    """By role in the order of the way of an event, then by name: as the receipt has them."""
    known = list(story.receipt.nodes)
    extra = {bar.node for bar in story.node_releases} | {swap.node for swap in story.swaps}
    return known + sorted(extra - set(known))


def fitting(width: float, *texts: str, character_px: float = CHARACTER_PX) -> str:
    """The first text that fits, else nothing."""
    return next((text for text in texts if len(text) * character_px <= width), "")
