"""Errors: every code means one thing, is explained, and survives the way from a node."""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections import Counter
from collections.abc import Iterator

import pytest

import artifacts
import cli
import demo
from artifacts.errors import EvctlError, RemoteError, error_catalogue

# docs/commands.md has them; 2 is click's, 130 also a detached view, which is no error.
EXIT_CODES = {1, 2, 3, 4, 5, 6, 7, 8, 9, 130}


def kinds() -> list[type[EvctlError]]:
    """Every error of the repository that something may raise."""
    for package in (artifacts, cli, demo):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)

    def below(parent: type[EvctlError]) -> Iterator[type[EvctlError]]:
        for kind in parent.__subclasses__():
            yield kind
            yield from below(kind)

    return [
        kind
        for kind in dict.fromkeys(below(EvctlError))
        if kind is not RemoteError and kind.__module__.split(".")[0] != "tests"
    ]


KINDS = kinds()


def test_every_code_is_one_errors() -> None:
    counted = Counter(kind.code for kind in [EvctlError, *KINDS])
    assert [code for code, times in counted.items() if times > 1] == []
    assert len(KINDS) > 20


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_is_explained_and_has_an_exit_code(kind: type[EvctlError]) -> None:
    assert kind.code[0] == "E"
    assert kind.code[1:].isdigit()
    assert len(kind.code) == 5
    assert kind.code[1] in "123456"
    assert kind.exit_code in EXIT_CODES
    assert "explanation" in vars(kind)
    assert len(kind.explanation) > 20
    assert kind.explanation.rstrip()[-1] in ".…0123456789=)"


def test_the_catalogue_has_them_all() -> None:
    catalogue = error_catalogue()
    for kind in KINDS:
        assert catalogue[kind.code] is kind


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_comes_back_from_a_node_as_it_was(kind: type[EvctlError]) -> None:
    said = EvctlError.__new__(kind)
    EvctlError.__init__(said, "it broke", why="because", next_step="mend it", where="node-01")
    back = EvctlError.from_json(json.loads(json.dumps(said.to_json())))
    assert isinstance(back, RemoteError)
    assert back.to_json() == said.to_json()
    assert (back.code, back.exit_code) == (kind.code, kind.exit_code)
    assert str(back) == str(said)


def test_how_an_error_reads() -> None:
    assert str(EvctlError("it broke")) == "E0001 it broke"
    whole = EvctlError("it broke", why="because", next_step="mend it", where="node-01")
    assert str(whole) == "E0001 node-01: it broke: because → next: mend it"


@pytest.mark.parametrize(
    "said",
    [{}, {"exit": "x"}, {"exit": None}, {"exit": []}, {"code": None, "what": 7}, {"exit": "400"}],
    ids=str,
)
def test_what_a_node_says_wrongly_is_still_an_error(said: dict[str, str]) -> None:
    back = EvctlError.from_json(said)
    assert back.exit_code == 1
    assert str(back)
