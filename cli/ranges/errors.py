"""What can be wrong with a range expression."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from artifacts.errors import EvctlError

NEAR_CHARACTERS = 20
SHOWN_CHARACTERS = 80


class RangeError(EvctlError):
    code = "E5401"
    exit_code = 2
    explanation = (
        "A range names nodes: collector-01, collector-[01-04], '*-01', all; role:x, az:x, "
        "channel:x, ver:x, state:x, @group; `,` is either, `&` both, `!` without, `^` one but not "
        "both, from left to right, (…) first; A/10% or A/3 is a sample; salt{…} is Salt's own "
        "compound matcher. Quote it, so that the shell leaves it alone. `evctl range` explains one."
    )


class NotTold(EvctlError):
    code = "E5402"
    exit_code = 7
    explanation = (
        "A range asks for what only the nodes can say (ver:, state:, salt{…}), and some of them "
        "don't answer; or for a @group, and the Salt master has given some of them no pillar yet. "
        "Such a node is unknown: it is neither named nor left out, so nothing was done. "
        "`(…)!state:silent` leaves those out that don't answer."
    )


def malformed(expression: str, at: int, why: str, next_step: str = "") -> RangeError:
    """at: the character where it goes wrong, counted from 0."""
    near = expression[at : at + NEAR_CHARACTERS]
    where = f"at character {at + 1}, {near!r}" if near.strip() else "at its end"
    return RangeError(
        f"the range {shortened(expression)!r} can't be understood",
        why=f"{where}: {why}",
        next_step=next_step or "for example: 'role:collector', 'web-[01-02]', 'az:a!web-01'",
    )


def unknown(name: str, known: Iterable[str], expression: str, at: int) -> RangeError:
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.3)
    has = f"near it: {', '.join(near)}" if near else f"it has {', '.join(names[:8]) or 'nothing'}"
    part_of_more = f" · at character {at + 1} of {shortened(expression)!r}"
    return RangeError(
        f"no {shortened(name)} in this fleet",
        why=has + (part_of_more if name != expression.strip() else ""),
        next_step="evctl fleet shows all nodes, and what can be said of them",
    )


def shortened(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
