"""Counters, histograms and gauges in Prometheus' text format (0.0.4): just what the roles need."""

from bisect import bisect_left
from collections.abc import Mapping
from itertools import accumulate

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Counter:
    """Only grows. One thread adds; any thread reads."""

    def __init__(self, name: str, help_text: str, label: str = "") -> None:
        self.name = name
        self.help_text = help_text
        self._label = label
        self._values: dict[str, float] = {} if label else {"": 0}

    def add(self, amount: float = 1, label: str = "") -> None:
        """Adds to the series of this label value."""
        self._values[label] = self._values.get(label, 0) + amount

    def value(self, label: str = "") -> float:
        """What was counted."""
        return self._values.get(label, 0)

    def total(self) -> float:
        """Of all labels."""
        return sum(self._values.copy().values())

    def lines(self) -> list[str]:
        """This counter in the text format."""
        head = [f"# HELP {self.name} {self.help_text}", f"# TYPE {self.name} counter"]
        return head + [
            f'{self.name}{{{self._label}="{_escaped(label)}"}} {value:.15g}'
            if self._label
            else f"{self.name} {value:.15g}"
            for label, value in sorted(self._values.copy().items())
        ]


class Histogram(Counter):
    """How often a time, in seconds, was within each bound."""

    BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

    def __init__(self, name: str, help_text: str) -> None:
        super().__init__(name, help_text, "le")
        self._counts = [0] * (len(self.BOUNDS_S) + 1)
        self._sum_s = 0.0

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(self.BOUNDS_S, seconds)] += 1
        self._sum_s += seconds

    def lines(self) -> list[str]:
        """This histogram in the text format."""
        within = list(accumulate(self._counts))
        head = [f"# HELP {self.name} {self.help_text}", f"# TYPE {self.name} histogram"]
        bounds = [*(f"{bound:g}" for bound in self.BOUNDS_S), "+Inf"]
        return [
            *head,
            *(
                f'{self.name}_bucket{{le="{bound}"}} {count}'
                for bound, count in zip(bounds, within, strict=True)
            ),
            f"{self.name}_sum {self._sum_s:.15g}",
            f"{self.name}_count {within[-1]}",
        ]


def render(counters: list[Counter], gauges: Mapping[str, float], info: Mapping[str, str]) -> str:
    """The whole page; info becomes the labels of `ev_info`."""
    labels = ",".join(f'{key}="{_escaped(value)}"' for key, value in info.items())
    lines = ["# TYPE ev_info gauge", f"ev_info{{{labels}}} 1"]
    for counter in counters:
        lines += counter.lines()
    for name, value in gauges.items():
        lines += [f"# TYPE {name} gauge", f"{name} {value:.15g}"]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
