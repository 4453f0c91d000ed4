"""From an expression to its parts. No node is known here.

range  = part { ( "," | "!" | "&" | "^" ) part }          from left to right
part   = ( "(" range ")" | "salt{" … "}" | operand ) { "/" number [ "%" ] }
"""

from __future__ import annotations

import ast
import difflib
import os
import re
from dataclasses import dataclass
from typing import Literal

from cli.ranges.errors import malformed, shortened
from cli.rollout.plan import Share

ALL = "all"
EVERYTHING = (ALL, "*", "@*")
KEYS = ("role", "az", "channel", "ver", "state")
EXPRESSION_BYTES_MAX = 4096
DEPTH_MAX = 50

Operator = Literal[",", "!", "&", "^"]
OPERATORS: tuple[Operator, ...] = (",", "!", "&", "^")
_ENDS_OPERAND = frozenset(",!&^()/")
_SAMPLE = re.compile(r"/\s*(\d{1,6})(%?)")
_VALUE = re.compile(r"[\w.*?-]+", re.ASCII)


@dataclass(frozen=True)
class Everything:
    text: str
    at: int


@dataclass(frozen=True)
class NodeSet:
    """A node, several in brackets, or a pattern: ClusterShell's to expand."""

    text: str
    at: int


@dataclass(frozen=True)
class Keyed:
    """key: one of KEYS, or `@` for a group. value: may be a pattern."""

    text: str
    at: int
    key: str
    value: str


@dataclass(frozen=True)
class Compound:
    """What stands between the braces of salt{…}."""

    text: str
    at: int
    expression: str


@dataclass(frozen=True)
class Sample:
    text: str
    at: int
    of: Part
    share: Share


@dataclass(frozen=True)
class Combined:
    text: str
    at: int
    operator: Operator
    left: Part
    right: Part


Part = Everything | NodeSet | Keyed | Compound | Sample | Combined


def parse(expression: str) -> Part:
    """RangeError says what is wrong, and where."""
    if len(os.fsencode(expression)) > EXPRESSION_BYTES_MAX:
        raise malformed(expression[:40] + "…", 0, f"longer than {EXPRESSION_BYTES_MAX} bytes")
    if not expression.strip():
        raise malformed(expression, 0, "it is empty")
    return _Parser(expression).whole()


class _Parser:
    def __init__(self, expression: str) -> None:
        self._text = expression
        self._at = 0
        self._depth = 0

    def whole(self) -> Part:
        found = self._range()
        if self._at < len(self._text):
            if self._next() == ")":
                raise self._wrong("this parenthesis was never opened")
            raise self._wrong("between two parts stands one of , ! & ^")
        return found

    def _range(self) -> Part:
        begin = self._skip()
        left = self._part()
        while self._next() in OPERATORS:
            operator = self._take_operator()
            right = self._part()
            left = Combined(self._since(begin), begin, operator, left, right)
        return left

    def _part(self) -> Part:
        begin = self._skip()
        found = self._parenthesis() if self._next() == "(" else self._operand()
        while self._next() == "/":
            read = _SAMPLE.match(self._text, self._at)
            if not read:
                raise self._wrong("a sample is a count or a percentage: /3, /10%")
            number, percent = int(read[1]), bool(read[2])
            if number < 1 or (percent and number > 100):
                raise self._wrong("a sample is a count from 1, or a percentage from 1% to 100%")
            self._at = read.end()
            found = Sample(self._since(begin), begin, found, Share(number, percent))
        return found

    def _parenthesis(self) -> Part:
        opened = self._at
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise self._wrong(f"more than {DEPTH_MAX} parentheses in each other")
        self._at += 1
        inside = self._range()
        if self._next() != ")":
            if self._at < len(self._text):
                raise self._wrong("between two parts stands one of , ! & ^")
            raise self._wrong("this parenthesis is never closed", opened)
        self._at += 1
        self._depth -= 1
        return inside

    def _operand(self) -> Part:
        begin = self._at
        if self._text.startswith("salt{", begin):
            return self._compound()
        in_brackets = False
        while self._at < len(self._text):
            character = self._text[self._at]
            if not in_brackets and (character in _ENDS_OPERAND or character.isspace()):
                break
            if character in "[]":
                in_brackets = character == "["
            self._at += 1
        text = self._text[begin : self._at]
        if in_brackets:
            raise self._wrong("this bracket is never closed", begin + text.rindex("["))
        if not text:
            raise self._wrong("a node, a role:… or another part is missing here")
        return self._named(text, begin)

    def _named(self, text: str, at: int) -> Part:
        if text in EVERYTHING:
            return Everything(text, at)
        key, colon, value = text.removeprefix("@").partition(":")
        if not colon:
            if not text.startswith("@"):
                return NodeSet(text, at)
            key, value = "@", key
        elif key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, n=1, cutoff=0.0)[0]
            raise self._wrong(
                f"{shortened(key)!r} isn't a key; there are {', '.join(KEYS)}",
                at,
                next_step=f"did you mean {near}:{shortened(value) or '…'}?",
            )
        if not _VALUE.fullmatch(value):
            raise self._wrong("after it stands a name, of letters, digits, - . _ * ?", at)
        return Keyed(text, at, key, value)

    def _compound(self) -> Compound:
        begin = self._at
        self._at += len("salt{")
        depth = 1
        while depth and self._at < len(self._text):
            depth += {"{": 1, "}": -1}.get(self._text[self._at], 0)
            self._at += 1
        if depth:
            raise self._wrong("this brace is never closed", begin + len("salt"))
        text = self._since(begin)
        inside = " ".join(text[len("salt{") : -1].split())
        if why := _compound_fault(inside):
            raise self._wrong(why, begin, next_step="salt{G@os:Debian and not web3}, for example")
        return Compound(text, begin, inside)

    def _take_operator(self) -> Operator:
        operator = next(one for one in OPERATORS if one == self._text[self._at])
        self._at += 1
        return operator

    def _skip(self) -> int:
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1
        return self._at

    def _next(self) -> str:
        """The next character that isn't blank; none at the end."""
        self._skip()
        return self._text[self._at : self._at + 1]

    def _since(self, begin: int) -> str:
        return self._text[begin : self._at]

    def _wrong(self, why: str, at: int | None = None, next_step: str = "") -> Exception:
        return malformed(self._text, self._at if at is None else at, why, next_step)


# Salt's matchers that a node can answer for itself; nodegroups (N@) are its master's.
_ENGINE = re.compile(r"([A-Z])(?:[^\w\s])?@(.+)")
_ENGINES = "GPIJLSE"
_WORDS = ("and", "or", "not", "(", ")")


def _compound_fault(inside: str) -> str:
    """What is wrong with a compound expression. Salt itself takes a wrong one for `nobody`."""
    words = inside.split()
    for word in words:
        if word not in _WORDS and "@" in word:
            engine = _ENGINE.fullmatch(word)
            if not engine or engine[1] not in _ENGINES:
                return f"Salt's {word!r} isn't known here; there are {'@ '.join(_ENGINES)}@"
    try:
        ast.parse(" ".join(word if word in _WORDS else "x" for word in words), mode="eval")
    except SyntaxError:
        return "its and, or, not and parentheses, with blanks around each, don't fit together"
    return ""
