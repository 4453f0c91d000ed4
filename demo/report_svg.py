"""A few SVG and HTML elements, escaped."""

from __future__ import annotations

from html import escape


def element(name: str, *children: str, **attributes: object) -> str:
    """`children` are markup already; `class_` is class, `_` in a name is `-`, None is left out."""
    parts = [
        f' {key.rstrip("_").replace("_", "-")}="{escape(_text(value))}"'
        for key, value in attributes.items()
        if value is not None
    ]
    return f"<{name}{''.join(parts)}>{''.join(children)}</{name}>"


def label(text: str, x: float, y: float, **attributes: object) -> str:
    return element("text", escape(text), x=x, y=y, **attributes)


def box(x: float, y: float, width: float, height: float, *children: str, **more: object) -> str:
    return element("rect", *children, x=x, y=y, width=max(width, 0), height=height, **more)


def line(x1: float, y1: float, x2: float, y2: float, *children: str, **more: object) -> str:
    return element("line", *children, x1=x1, y1=y1, x2=x2, y2=y2, **more)


def title(text: str) -> str:
    return element("title", escape(text))


def _text(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
