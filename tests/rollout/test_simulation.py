"""Rollouts by the hundred thousand; and that planted faults are found, each with its seed.

`make simulate` runs a million. SIMULATE_RUNS and SIMULATE_FROM choose how many, and from where.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cli.rollout import control, decide, plan
from cli.rollout.document import FINAL, Capacity, Document
from tests.rollout.simulation import MOVES, Broken, World, simulate

RUNS = int(os.environ.get("SIMULATE_RUNS", "100000"))
FROM = int(os.environ.get("SIMULATE_FROM", "0"))
SHARES = 4
# Each of the faults below is found within so many runs; most of them within ten.
MUTANT_RUNS_MAX = 3000


@pytest.mark.timeout(120 + RUNS // 200)
@pytest.mark.parametrize("share", range(SHARES))
def test_whatever_happens(share, monkeypatch):
    ends = Counter(simulate(seed) for seed in range(FROM + share, FROM + RUNS, SHARES))
    print(f"{ends.total()} runs: {dict(ends.most_common())}")
    assert set(ends) <= set(FINAL)


def test_every_move_between_states_is_seen(monkeypatch):
    seen: set[tuple[str, str]] = set()
    save = World._save

    def note(self: World, document: Document) -> None:
        seen.add((self.document.state, document.state))
        save(self, document)

    monkeypatch.setattr(World, "_save", note)
    for seed in range(3000):
        simulate(seed)
    assert {move for move in seen if move[0] != move[1]} == MOVES


def test_a_seed_is_the_same_run_again():
    for seed in range(50):
        first, second = World(seed), World(seed)
        assert (first.run(), first.document, first.desired) == (
            second.run(), second.document, second.desired,
        )  # fmt: skip


# Planted faults: what is replaced, and by what.


def _no_limits(_document: Document) -> str:
    return ""


def _counts_silent_with_failed(document: Document) -> str:
    faults = sum(record.fault is not None for record in document.nodes.values())
    most = document.limits.max_fail + document.limits.max_unreachable
    return "too many" if faults > most else ""


def _off_by_one(document: Document, role: str, room_of: Any = decide.room_of) -> int:
    return room_of(document, role) + 1


def _no_floors(*args: Any, capacities: Any = plan.capacities, **kwargs: Any) -> Any:
    return {r: Capacity(c.serving, 0) for r, c in capacities(*args, **kwargs).items()}


def _forgets_what_was_asked(document: Document, _command: Any) -> Document:
    return document


def _silence_is_success(record: Any, action: Any, answer: Any, take: Any = decide._take_in) -> Any:
    return take(record, action, decide.Answer(ok=True, result={}) if answer.silent else answer)


def _wants_the_new_one(document: Document, record: Any) -> bool:
    return record.swap is not None


def _wants_it_before_it_is_proved(document: Document, record: Any) -> bool:
    return not document.back


def _wants_nothing(_document: Document) -> dict[str, str | None]:
    return {}


def _leaves_cut_short_swaps(document: Document, nodes: Any, *states: Any) -> list[str]:
    return _TO_REVERT(document, nodes, *(each for each in states if each != "swapping"))


_TO_REVERT = decide._to_revert


def _skips_the_gate(document: Document, now: float, go_on: Any = decide._go_on) -> Any:
    step = go_on(document, now)
    if isinstance(step, decide.Command) and step.action == "check":
        nodes = {node: replace(document.nodes[node], state="healthy") for node in step.releases}
        return go_on(replace(document, nodes={**document.nodes, **nodes}), now)
    return step


def _one_wave(roles: Any, *_: Any, **__: Any) -> Any:
    return (tuple(sorted(roles)),)


def _loses_a_node(*args: Any, waves: Any = plan.waves, **kwargs: Any) -> Any:
    planned = waves(*args, **kwargs)
    return planned[:-1] if len(planned) > 2 else planned


def _goes_on_although_paused(document: Document, now: float, decide_: Any = decide.decide) -> Any:
    if document.state == "paused":
        document = replace(document, state="running")
    return decide_(document, now)


def _never_ends(document: Document, now: float, decide_: Any = decide.decide) -> Any:
    step = decide_(document, now)
    return decide.Turn("paused") if step == decide.Turn("partial") else step


def _resumes_what_has_ended(document: Document) -> Document:
    return decide.turn(document, decide.Turn("running"))


MUTANTS: list[tuple[Any, str, Callable[..., Any]]] = [
    (decide, "over_limit", _no_limits),
    (decide, "over_limit", _counts_silent_with_failed),
    (decide, "room_of", _off_by_one),
    (decide, "begin", _forgets_what_was_asked),
    (decide, "_take_in", _silence_is_success),
    (decide, "_wants_new", _wants_the_new_one),
    (decide, "_wants_new", _wants_it_before_it_is_proved),
    (decide, "wanted", _wants_nothing),
    (decide, "_to_revert", _leaves_cut_short_swaps),
    (decide, "_go_on", _skips_the_gate),
    (decide, "decide", _goes_on_although_paused),
    (decide, "decide", _never_ends),
    (plan, "capacities", _no_floors),
    (plan, "waves", _loses_a_node),
    (control, "resume", _resumes_what_has_ended),
]


@pytest.mark.parametrize(
    ("module", "name", "planted"), MUTANTS, ids=lambda each: getattr(each, "__name__", each)
)
def test_a_planted_fault_is_found_and_its_seed_shows_it_again(monkeypatch, module, name, planted):
    monkeypatch.setattr(module, name, planted)
    seed, said = next(_broken())
    assert f"seed {seed}: " in said
    with pytest.raises(Exception, match=r".") as again:
        simulate(seed)
    assert str(again.value) == said
    monkeypatch.undo()
    simulate(seed)


def _broken():
    for seed in range(MUTANT_RUNS_MAX):
        try:
            simulate(seed)
        except Broken as broken:
            yield seed, str(broken)
    pytest.fail(f"not found in {MUTANT_RUNS_MAX} runs")
