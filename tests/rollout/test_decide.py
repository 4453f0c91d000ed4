"""Decisions, one by one; test_simulation.py has them all together."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from cli.rollout import control
from cli.rollout.decide import Answer, Command, Turn, begin, decide, observe, turn, wanted
from cli.rollout.document import FINAL, Document
from tests.rollout.documents_of import NEW, OLD, document_of

FINE = Answer(ok=True, result={})
REFUSED = Answer(ok=False, error={"what": "no"})
SILENT = Answer(ok=False, silent=True, error={"what": "no answer"})

fleets = st.dictionaries(
    st.sampled_from(["collector", "processor", "postprocessor"]),
    st.integers(min_value=1, max_value=7),
    min_size=1,
).map(lambda sizes: {f"{role}-{n}": role for role, count in sizes.items() for n in range(count)})
# How often something goes wrong: mostly never, so that whole rollouts are seen too.
answers = st.sampled_from([FINE] * 12 + [REFUSED, SILENT])


NOW = 1_000_000.0


def _next(document: Document) -> Command:
    """The next command; turns on the way are taken."""
    for _ in range(2):
        step = decide(document, NOW)
        if isinstance(step, Command):
            return step
        document = turn(document, step)
    raise AssertionError(document.state)


def _after(document: Document, *answers: Answer) -> Document:
    """With each command answered so by all its nodes, and the turns taken after it."""
    for answer in answers:
        step = decide(document, NOW)
        assert isinstance(step, Command)
        document = observe(begin(document, step), step, dict.fromkeys(step.releases, answer))
        while isinstance(to := decide(document, NOW), Turn) and to.state != document.state:
            document = turn(document, to)
    return document


class Run:
    """One rollout carried out to its end with drawn answers, and all that was asked on the way."""

    def __init__(self, document: Document, data: st.DataObject) -> None:
        self.commands: list[Command] = []
        self.answers: list[dict[str, Answer]] = []
        steps_max = 4 * len(document.nodes) + 4
        for _ in range(steps_max):
            step = decide(document, NOW)
            if isinstance(step, Turn):
                document = self.document = turn(document, step)
                if document.state in (*FINAL, "paused"):
                    return
                continue
            document = begin(document, step)
            given_answers = {node: data.draw(answers) for node in step.releases}
            document = observe(document, step, given_answers)
            self.commands.append(step)
            self.answers.append(given_answers)
        raise AssertionError(f"no end after {steps_max} steps")

    def asked(self, action: str) -> list[list[str]]:
        return [list(step.releases) for step in self.commands if step.action == action]

    def changed(self) -> set[str]:
        """Nodes that swapped, or may have."""
        return {
            node
            for step, said in zip(self.commands, self.answers, strict=True)
            if step.action == "swap"
            for node, answer in said.items()
            if answer.ok or answer.silent
        }


@given(fleets, st.data())
def test_converged_means_that_every_node_passed_its_gate(roles, data):
    run = Run(document_of(roles), data)
    passed = {
        node
        for step, said in zip(run.commands, run.answers, strict=True)
        for node in said
        if step.action == "check" and said[node].ok
    }
    assert (run.document.state == "converged") == (
        passed == set(roles) and all(a.ok for said in run.answers for a in said.values())
    )


@given(fleets, st.data())
def test_after_rolled_back_whatever_changed_was_reverted_to_what_it_served(roles, data):
    run = Run(document_of(roles), data)
    if run.document.state != "rolled_back":
        return
    for node in run.changed():
        assert run.document.nodes[node].state == "reverted"
    for step in run.commands:
        if step.action == "revert":
            assert set(step.releases.values()) == {OLD}


@given(fleets, st.data())
def test_a_node_is_asked_to_go_back_at_most_once(roles, data):
    run = Run(document_of(roles), data)
    reverted = Counter(node for nodes in run.asked("revert") for node in nodes)
    assert all(count == 1 for count in reverted.values())


@given(fleets, st.data())
def test_nothing_new_is_swapped_once_something_went_wrong(roles, data):
    run = Run(document_of(roles), data)
    bad = False
    for step, said in zip(run.commands, run.answers, strict=True):
        assert step.action == "revert" or not bad
        bad = bad or any(not answer.ok for answer in said.values())


@given(fleets, st.booleans(), st.sampled_from([REFUSED, SILENT]))
def test_when_the_first_canary_fails_no_other_node_is_asked_to_swap(roles, at_gate, answer):
    document, swapped = document_of(roles), []
    while document.state not in FINAL:
        step = decide(document, NOW)
        assert isinstance(step, Command)
        wrong = step.action == ("check" if at_gate else "swap")
        document = _after(document, answer if wrong else FINE)
        if step.action == "swap":
            swapped += step.releases
    assert len(swapped) == 1
    assert document.state == "rolled_back"
    untouched = {n for n in roles if n not in swapped}
    assert all(document.nodes[node].state == "prefetched" for node in untouched)


@given(fleets)
def test_canaries_come_first_one_of_each_role_one_at_a_time(roles):
    document, swaps = document_of(roles), []
    while isinstance(step := decide(document, NOW), Command):
        document = _after(document, FINE)
        if step.action == "swap":
            swaps.append(list(step.releases))
    every = sorted(set(roles.values()))
    canaries = swaps[: len(every)]
    assert all(len(canary) == 1 for canary in canaries)
    assert [roles[node] for (node,) in canaries] == every


@given(fleets, st.data())
def test_a_rollback_neither_fetches_nor_goes_back_but_goes_on(roles, data):
    run = Run(document_of(roles, kind="rollback"), data)
    assert not run.asked("prefetch")
    assert not run.asked("revert")
    assert sorted(node for nodes in run.asked("swap") for node in nodes) == sorted(roles)
    assert all(set(step.releases.values()) == {NEW} for step in run.commands)


@given(fleets, st.data())
def test_silence_is_neither_success_nor_failure(roles, data):
    run = Run(document_of(roles, kind="rollback"), data)
    states = {record.state for record in run.document.nodes.values()}
    if states & {"failed", "unhealthy"}:
        assert run.document.state == "failed"
    elif "silent" in states:
        assert run.document.state == "partial"
    else:
        assert states == {"healthy"}
        assert run.document.state == "converged"


def test_a_node_that_is_silent_to_the_end_leaves_the_rollout_partial():
    document = _after(document_of({"web-1": "web"}), FINE, SILENT, SILENT)
    assert document.state == "partial"
    assert document.nodes["web-1"].state == "silent"
    assert wanted(document) == {"web-1": OLD}


def test_a_node_that_cannot_go_back_makes_the_rollout_fail():
    document = _after(document_of({"web-1": "web"}), FINE, FINE, REFUSED, REFUSED)
    assert document.nodes["web-1"].state == "stuck"
    assert document.state == "failed"


def test_the_first_evidence_is_kept():
    first, second = {"what": "first"}, {"what": "second"}
    document = _after(
        document_of({"web-1": "web"}),
        FINE, FINE, Answer(False, error=first), Answer(False, error=second),
    )  # fmt: skip
    assert document.nodes["web-1"].error == first


WEB = {f"web-{n}": "web" for n in range(1, 7)}


def test_as_many_as_may_fail_or_fall_silent_are_gone_on_without():
    """Counted apart, and over the whole rollout."""
    document = document_of(WEB, max_fail=1, max_unreachable=1)
    document = _after(document, FINE, REFUSED)
    assert document.state == "running"
    wave = _next(document)
    bad = next(iter(wave.releases))
    document = observe(
        begin(document, wave), wave, dict.fromkeys(wave.releases, FINE) | {bad: SILENT}
    )
    document = _after(document, FINE, FINE, FINE)
    assert document.state == "partial"
    faults = [record.fault for record in document.nodes.values() if record.fault]
    assert sorted(faults) == ["failed", "silent"]
    assert wanted(document) == {"web-1": OLD} | {node: NEW for node in WEB if node != "web-1"}


def test_one_more_than_may_fail_and_all_go_back():
    document = _after(document_of(WEB, max_fail=1), FINE, REFUSED)
    wave = _next(document)
    assert wave.action == "swap"
    document = _after(document, REFUSED)
    assert document.state == "rolled_back"
    assert "failed" in document.note


def test_a_node_that_may_fail_its_gate_goes_back_alone():
    document = _after(document_of(WEB, max_fail=1), FINE, FINE, REFUSED)
    step = _next(document)
    assert (step.action, step.releases) == ("revert", {"web-1": OLD})
    document = _after(document, FINE)
    assert document.nodes["web-1"].state == "reverted"
    assert _next(document).action == "swap"


def test_a_floor_makes_waves_smaller_and_is_kept_when_nodes_are_out():
    document = document_of(WEB, floors={"web": 4}, max_unreachable=2)
    assert [len(wave) for wave in document.waves] == [1, 2, 2, 1]
    document = _after(document, FINE, SILENT)
    step = _next(document)
    assert (step.action, len(step.releases)) == ("swap", 1), "one is out already"
    document = _after(document, SILENT)
    assert document.state == "paused"
    assert "fewer than 4 web would serve" in document.note


def test_going_back_keeps_the_floor_too():
    document = document_of(WEB, floors={"web": 4})
    document = _after(document, FINE, FINE, FINE, FINE, FINE, FINE, REFUSED, )  # fmt: skip
    assert document.state == "rolling_back"
    sizes = []
    while document.state not in FINAL:
        sizes.append(len(_next(document).releases))
        document = _after(document, FINE)
    assert sum(sizes) == 5
    assert sizes[0] == 2, "those of the bad wave first"
    assert max(sizes) <= 2


def test_a_closed_window_holds_the_next_swap_but_no_rollback():
    friday_evening = 1_000_000_000.0 + 5 * 86400 + 15 * 3600
    document = _after(document_of(WEB), FINE)
    document = replace(document, closed=("Fri 16:00 - Mon 07:00",))
    assert decide(document, friday_evening) == Turn(
        "paused", "the window is closed: Fri 16:00 - Mon 07:00"
    )
    assert isinstance(decide(document, friday_evening - 4 * 86400), Command)
    told = control.resume(turn(document, Turn("paused")), in_closed_window=True)
    assert isinstance(decide(told, friday_evening), Command)
    back = replace(document_of(WEB, kind="rollback"), closed=document.closed)
    assert isinstance(decide(back, friday_evening), Command)


def test_a_gate_that_holds_pauses_it_and_says_why():
    document = _after(document_of(WEB), FINE, FINE)
    step = _next(document)
    held = Answer(ok=False, held="3 of 50 requests: too few to judge")
    document = observe(document, step, dict.fromkeys(step.releases, held))
    assert document.state == "paused"
    assert "too few to judge" in document.note
    assert document.nodes["web-1"].state == "swapped", "it is asked again after a resume"


def test_whose_swap_was_cut_short_is_asked_again_or_taken_back():
    document = _after(document_of(WEB), FINE)
    document = begin(document, _next(document))
    assert _next(document).action == "swap", "its driver died: another one goes on"
    aborted = turn(document, Turn("aborting"))
    assert decide(aborted, NOW) == Command("revert", {"web-1": OLD})


@settings(max_examples=30)
@given(fleets, st.data())
def test_a_node_that_served_nothing_before_is_not_asked_to_go_back(roles, data):
    run = Run(document_of(roles, before=dict.fromkeys(roles)), data)
    assert not run.asked("revert")
