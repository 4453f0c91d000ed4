"""The picture of the states in docs/rollouts.md is what the code says, and so is its runbook."""

from __future__ import annotations

import re
from typing import get_args

from artifacts.errors import EvctlError
from artifacts.objects import StoreUnreachable
from cli.commands.drift import NotMended
from cli.commands.history import HistoryChanged
from cli.commands.rollout import NotThisRole
from cli.history.log import HistoryBusy
from cli.promotion import NotPromoted, NotProven
from cli.rollout import errors
from cli.rollout.control import MOVES
from cli.rollout.document import FINAL, State
from cli.salt_client import MasterRefused, MasterUnreachable
from tests.cli.conftest import REPOSITORY

BESIDE = (
    *(NotThisRole, NotMended, NotPromoted, NotProven, HistoryChanged, HistoryBusy),
    *(MasterRefused, MasterUnreachable, StoreUnreachable),
)
PAGE = (REPOSITORY / "docs/rollouts.md").read_text()


def picture() -> str:
    """The states as GitHub draws them; paste it into the page when this test fails."""
    lines = ["stateDiagram-v2", "    [*] --> running: planned"]
    lines += [f"    {before} --> {after}: {why}" for before, after, why in MOVES]
    lines += [f"    {state} --> [*]" for state in FINAL]
    return "\n".join(lines)


def test_the_page_shows_the_states_that_there_are():
    assert f"```mermaid\n{picture()}\n```" in PAGE, picture()


def test_every_state_can_be_reached_and_only_final_ones_are_never_left():
    states = set(get_args(State))
    assert {after for _, after, _ in MOVES} == states
    assert states - {before for before, *_ in MOVES} == set(FINAL)


def test_the_runbook_has_every_alarm_with_its_exit_code():
    named = {(int(exit_code), code) for exit_code, code in re.findall(r"exit (\d+), (E\d+)", PAGE)}
    known = [one for one in vars(errors).values() if isinstance(one, type)]
    for error in (*known, *BESIDE):
        assert error is EvctlError or (error.exit_code, error.code) in named, error
