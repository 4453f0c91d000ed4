"""Decisions, simulated: random fleets, random failures and silences at every step."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from cli.rollout.decide import Answer, Command, decide, observe
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


class Run:
    """One rollout carried out to its end with drawn answers, and all that was asked on the way."""

    def __init__(self, document: Document, data: st.DataObject) -> None:
        self.commands: list[Command] = []
        self.answers: list[dict[str, Answer]] = []
        steps_max = 4 * len(document.nodes) + 4
        for _ in range(steps_max):
            step = decide(document)
            if not isinstance(step, Command):
                self.document = replace(document, state=step)
                return
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


@given(fleets, st.sampled_from(["rollout", "rollback"]), st.data())
def test_it_ends_in_a_final_state(roles, kind, data):
    run = Run(document_of(roles, kind=kind), data)
    assert run.document.state in FINAL


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
    while isinstance(step := decide(document), Command):
        wrong = step.action == ("check" if at_gate else "swap")
        document = observe(document, step, dict.fromkeys(step.releases, answer if wrong else FINE))
        if step.action == "swap":
            swapped += step.releases
    assert len(swapped) == 1
    assert step == "rolled_back"
    untouched = {n for n in roles if n not in swapped}
    assert all(document.nodes[node].state == "prefetched" for node in untouched)


@given(fleets, st.sampled_from(["rollout", "rollback"]), st.data())
def test_never_more_than_half_of_a_role_is_asked_at_once(roles, kind, data):
    run = Run(document_of(roles, kind=kind), data)
    sizes = Counter(roles.values())
    for nodes in run.asked("swap"):
        for role, count in Counter(roles[node] for node in nodes).items():
            assert count <= max(1, sizes[role] // 2)


@given(fleets)
def test_canaries_come_first_one_of_each_role_one_at_a_time(roles):
    document, swaps = document_of(roles), []
    while isinstance(step := decide(document), Command):
        document = observe(document, step, dict.fromkeys(step.releases, FINE))
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
    document = document_of({"web-1": "web"})
    for action, answer in (("prefetch", FINE), ("swap", SILENT), ("revert", SILENT)):
        step = decide(document)
        assert isinstance(step, Command)
        assert step.action == action
        document = observe(document, step, {"web-1": answer})
    assert decide(document) == "partial"
    assert document.nodes["web-1"].state == "silent"


def test_a_node_that_cannot_go_back_makes_the_rollout_fail():
    document = document_of({"web-1": "web"})
    for answer in (FINE, FINE, REFUSED, REFUSED):
        step = decide(document)
        assert isinstance(step, Command)
        document = observe(document, step, {"web-1": answer})
    assert document.nodes["web-1"].state == "stuck"
    assert decide(document) == "failed"


def test_the_first_evidence_is_kept():
    document = document_of({"web-1": "web"})
    first, second = {"what": "first"}, {"what": "second"}
    for answer in (FINE, FINE, Answer(False, error=first), Answer(False, error=second)):
        step = decide(document)
        assert isinstance(step, Command)
        document = observe(document, step, {"web-1": answer})
    assert document.nodes["web-1"].error == first


@settings(max_examples=30)
@given(fleets, st.data())
def test_a_node_that_served_nothing_before_is_not_asked_to_go_back(roles, data):
    run = Run(document_of(roles, before=dict.fromkeys(roles)), data)
    assert not run.asked("revert")
