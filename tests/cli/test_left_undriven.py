"""A command that is stopped after it has kept a rollout, and before it drives it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import cli.commands.carrying
from cli.announce import Announcer
from cli.fleet import Fleet
from cli.rollout.documents import Documents
from tests.cli.conftest import roll_out

ON = "evctl rollout resume R000001 | evctl rollout abort R000001"
MOMENTS = [
    (Documents, "create", signal.SIGINT),
    (Documents, "lock", signal.SIGTERM),
    (Announcer, "__init__", signal.SIGINT),
]


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Also where these tests were started in the background: then SIGINT is ignored from birth."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def stopped_after(monkeypatch) -> Callable[[type, str, signal.Signals], None]:
    """This process gets a signal once, when this has been done."""

    def arrange(kind: type, name: str, sent: signal.Signals) -> None:
        done = getattr(kind, name)

        def then_stopped(*arguments: Any, **named: Any) -> Any:
            monkeypatch.setattr(kind, name, done)
            result = done(*arguments, **named)
            os.kill(os.getpid(), sent)
            return result

        monkeypatch.setattr(kind, name, then_stopped)

    return arrange


@pytest.mark.parametrize(("kind", "name", "sent"), MOMENTS)
def test_it_says_what_is_left_and_what_goes_on_with_it(
    *, evctl, nodes, new, stopped_after, kind, name, sent
):
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # else the tests end
    stopped_after(kind, name, sent)
    ran = roll_out(evctl, new, "--yes", "--json")
    signal.signal(signal.SIGTERM, before)
    assert ran.code == 130
    assert "E4017 R000001 is kept, and nobody drives it" in ran.err
    assert f"next: {ON}" in ran.err
    assert ran.lines()[-1]["error"]["next"] == ON
    assert not nodes.swapped()
    assert evctl("rollout", "resume", "R000001").code == 0


def test_a_terminal_that_is_closed_then_stops_nothing(evctl, world, new, stopped_after):
    before = signal.signal(signal.SIGHUP, signal.default_int_handler)
    stopped_after(Documents, "create", signal.SIGHUP)
    assert roll_out(evctl, new, "--yes").code == 0
    signal.signal(signal.SIGHUP, before)


def test_where_nothing_was_kept_nothing_is_left(evctl, world, new, stopped_after):
    stopped_after(Fleet, "documents", signal.SIGINT)
    ran = roll_out(evctl, new, "--yes")
    assert (ran.code, "E4017" in ran.err) == (130, False)
    assert evctl("rollouts").out.startswith("none yet")


@pytest.mark.parametrize("words", [("resume", "R1"), ("resume", "R1", "--detach"), ("abort", "R1")])
def test_one_that_is_told_something_and_then_not_driven(
    *, evctl, world, nodes, new, stopped_after, words
):
    stopped_after(Documents, "lock", signal.SIGINT)
    roll_out(evctl, new, "--yes")
    evctl("rollout", "pause", "R1")
    stopped_after(cli.commands.carrying, "record", signal.SIGINT)
    ran = evctl("rollout", *words, *(["--yes"] if words[0] == "abort" else []))
    assert ran.code == 130
    assert "E4017 R000001 is kept, and nobody drives it" in ran.err
    can_abort = words[0] != "abort"
    assert ("evctl rollout abort R000001" in ran.err) == can_abort, "twice is refused"
    assert evctl("rollout", "resume", "R1").code == (0 if can_abort else 5)
