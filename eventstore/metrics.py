"""Counters and gauges in Prometheus' text format (version 0.0.4): just what the roles need."""

from collections.abc import Mapping

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

    def lines(self) -> list[str]:
        """This counter in the text format."""
        head = [f"# HELP {self.name} {self.help_text}", f"# TYPE {self.name} counter"]
        return head + [
            f'{self.name}{{{self._label}="{_escaped(label)}"}} {value:.15g}'
            if self._label
            else f"{self.name} {value:.15g}"
            for label, value in sorted(self._values.copy().items())
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
