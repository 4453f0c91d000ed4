"""What gates compare: too little is held, worse is failed, and only what is proved passes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifacts.gates import read_gate
from cli.rollout import report
from cli.rollout.comparison import Comparison
from cli.rollout.decide import Command
from cli.rollout.gates import Span, judge, parse, spans_of
from cli.salt_client import SILENT
from tests.rollout.documents_of import NEW, OLD, document_of
from tests.rollout.fake_fleet import FakeFleet

ERRORS = read_gate(
    "errors", {"bad": 'requests{code="5*"}', "all": "requests*", "at_most": 0.1, "worse_by": 0.01}
)
P99 = read_gate("p99", {"histogram": "took", "worse_by": 0.1, "sample_min": 10})
BACKLOG = read_gate("backlog", {"gauge": "waiting", "at_most": 100})


def _requests(ok: float, bad: float) -> dict[str, float]:
    return {'requests{code="200"}': ok, 'requests{code="503"}': bad}


def _span(ok: float, bad: float) -> Span:
    """These came during the bake, after others."""
    return Span(_requests(7, 3), _requests(7 + ok, 3 + bad))


def test_bytes_are_told_without_exponents():
    memory = read_gate("memory", {"gauge": "bytes", "worse_by": 100_000_000})
    new, old = ([Span({"bytes": 0.0}, {"bytes": value})] for value in (312_345_678.0, 98_765_432.0))
    said = judge(memory, new, old).says
    assert said == "memory: 312,345,678, the old 98,765,432: worse by more than 100,000,000"
    assert report.gate_says(memory) == "memory (worse by 100,000,000 at most)"


def test_a_page_in_prometheus_format():
    page = '# TYPE a counter\na{code="200"} 5\nb 1.5e3\n\nc nonsense\nd NaN\n}{ x y\n'
    found = parse(page)
    assert found['a{code="200"}'] == 5
    assert found["b"] == 1500
    assert "c" not in found
    assert parse("") == {}


@pytest.mark.parametrize(
    ("new", "old", "state", "says"),
    [
        ([(1000, 0)], [(1000, 0)], "passed", "errors: 0, the old 0"),
        ([(980, 20)], [(1000, 0)], "failed", "0.02, the old 0: worse by more than 0.01"),
        ([(980, 20)], [(970, 30)], "passed", "0.02, the old 0.03"),
        ([(1, 1)], [(1000, 0)], "held", "2 of 50: too few to judge"),
        ([], [(1000, 0)], "held", "0 of 50: too few to judge"),
        ([(1000, 0)], [(3, 0)], "held", "3 of 50 on the old: too few to compare"),
        ([(1000, 0)], [], "passed", "errors: 0 of 1000"),
        ([(800, 200)], [], "failed", "0.2, at most 0.1 may be"),
        ([(30, 0), (30, 0)], [(30, 0), (30, 0)], "passed", "errors: 0"),
    ],
)
def test_the_share_of_errors(new, old, state, says):
    verdict = judge(ERRORS, [_span(*each) for each in new], [_span(*each) for each in old])
    assert verdict.state == state
    assert says in verdict.says


def _took(fast: int, slow: int) -> Span:
    """fast: within 50 ms; slow: within 1 s."""
    page = {'took_bucket{le="0.05"}': fast, 'took_bucket{le="1"}': fast + slow}
    return Span({}, {**page, 'took_bucket{le="+Inf"}': fast + slow})


@pytest.mark.parametrize(
    ("new", "old", "state"),
    [
        ((100, 0), (100, 0), "passed"),
        ((95, 5), (100, 0), "failed"),
        ((95, 5), (90, 10), "passed"),
        ((999, 1), (100, 0), "passed"),
        ((5, 0), (100, 0), "held"),
        ((100, 0), (5, 0), "held"),
    ],
)
def test_the_slowest_percent(new, old, state):
    assert judge(P99, [_took(*new)], [_took(*old)]).state == state


def test_what_took_longer_than_every_bound_is_worse_than_any():
    endless = Span({}, {'took_bucket{le="0.05"}': 50.0, 'took_bucket{le="+Inf"}': 100.0})
    assert judge(P99, [endless], [_took(100, 0)]).state == "failed"


def test_a_gauge_is_what_it_is_now():
    passed = judge(BACKLOG, [Span({}, {"waiting": 99.0})], [])
    assert (passed.state, passed.says) == ("passed", "backlog: 99")
    assert (
        judge(BACKLOG, [Span({}, {"waiting": 9.0}), Span({}, {"waiting": 101.0})], []).state
        == "failed"
    )
    assert judge(BACKLOG, [Span({}, {"other": 1.0})], []).state == "held"


NAN = float("nan")


@pytest.mark.parametrize("values", [(NAN,), (NAN, 5.0), (5.0, NAN)])
def test_what_is_no_number_proves_nothing(values):
    """As gauges are that were never set, and shares of nothing."""
    spans = [Span({}, {"waiting": value}) for value in values]
    assert judge(BACKLOG, spans, []).state == "held"
    worse = replace(BACKLOG, at_most=None, worse_by=10.0)
    assert judge(worse, [Span({}, {"waiting": 5.0})], spans).state == "held"
    assert judge(ERRORS, [_span(1000, NAN)], [_span(1000, 0)]).state == "held"
    assert judge(ERRORS, [_span(1000, 0)], [_span(1000, NAN)]).state == "held"


def test_a_generation_that_was_restarted_begins_at_nothing():
    restarted = Span(_requests(1000, 900), _requests(100, 0))
    assert judge(ERRORS, [restarted], [_span(1000, 0)]).state == "passed"


@given(st.integers(0, 500), st.integers(0, 500), st.integers(0, 500), st.integers(0, 500))
def test_whatever_is_measured_too_little_never_passes(ok, bad, old_ok, old_bad):
    verdict = judge(ERRORS, [_span(ok, bad)], [_span(old_ok, old_bad)])
    if ok + bad < ERRORS.sample_min:
        assert verdict.state == "held"
    elif bad / (ok + bad) > 0.1:
        assert verdict.state == "failed"
    elif old_ok + old_bad < ERRORS.sample_min:
        assert verdict.state == "held"


def test_one_that_did_not_answer_both_times_is_not_compared():
    start = {"a": {NEW: "x 1"}, "b": {OLD: "x 1"}}
    end = {"a": {NEW: "x 2"}, "b": {NEW: "x 2"}, "c": {NEW: "x 2"}}
    assert spans_of(start, end, {"a": NEW, "b": NEW, "c": NEW}) == [Span({"x": 1.0}, {"x": 2.0})]


@pytest.mark.parametrize(
    "raw",
    [{}, {"bad": "x", "at_most": 1}, {"gauge": "x"}, {"gauge": "x", "histogram": "y", "at_most": 1},
     {"gauge": "x", "atmost": 1}, {"gauge": "", "at_most": 1}, {"gauge": "x", "at_most": -1},
     {"gauge": "x", "at_most": True}, {"gauge": "x", "at_most": "1"},
     {"gauge": "x", "at_most": float("nan")}, {"gauge": 1, "at_most": 1},
     {"histogram": "x", "worse_by": 1, "sample_min": 0}],
)  # fmt: skip
def test_what_is_no_gate(raw):
    with pytest.raises(ValueError, match="must"):
        read_gate("x", raw)


ROLES = {f"web-{n}": "web" for n in range(1, 5)}


class Serving:
    """Requests that come to every node between two looks."""

    def __init__(self, *, new_bad: int, each: int = 100) -> None:
        self._looks = 0
        self._bad = {NEW: new_bad, OLD: 0}
        self._each = each

    def __call__(self, node: str, release: str) -> dict[str, str]:
        self._looks += 1
        good, bad = self._each * self._looks, self._bad[release] * self._looks
        return {release: f'requests{{code="200"}} {good}\nrequests{{code="500"}} {bad}\n'}


def _compared(pages: Serving, command: tuple[str, ...] = ()) -> dict[str, object]:
    document = document_of(ROLES, gates={"web": (ERRORS,)}, gate_command=command)
    document = document.with_node("web-1", state="swapped")
    fleet = FakeFleet.of(ROLES, pages=pages)
    fleet.serving["web-1"] = NEW
    comparison = Comparison(fleet, Command("check", {"web-1": NEW}), document)
    return comparison.judge(["web-1"])["web-1"]


def test_new_and_old_nodes_are_looked_at_at_the_same_time():
    assert _compared(Serving(new_bad=0)).result == {"gates": ["errors: 0, the old 0"]}
    failed = _compared(Serving(new_bad=5))
    assert not failed.ok
    assert "worse by more than" in failed.error["why"]
    assert "too few" in _compared(Serving(new_bad=0, each=1)).held


def test_a_node_that_did_not_answer_at_the_start_is_compared_from_its_first_answer_on():
    pages = Serving(new_bad=0)
    document = document_of(ROLES, gates={"web": (ERRORS,)}).with_node("web-1", state="swapped")
    metrics = ("web-1", "evrelease.metrics")
    fleet = FakeFleet.of(ROLES, pages=pages, fails={metrics: SILENT})
    fleet.serving["web-1"] = NEW
    comparison = Comparison(fleet, Command("check", {"web-1": NEW}), document)
    fleet.fails.clear()
    assert "too few to judge" in comparison.judge(["web-1"])["web-1"].held
    assert comparison.judge(["web-1"])["web-1"].ok


def test_a_node_of_the_wave_that_says_nothing_of_itself_is_not_passed_by_the_others():
    document = document_of(ROLES, gates={"web": (ERRORS,)})
    fleet = FakeFleet.of(ROLES, pages=Serving(new_bad=0))
    fleet.fails = {("web-2", "evrelease.metrics"): SILENT}
    wave = ["web-1", "web-2"]
    for node in wave:
        document = document.with_node(node, state="swapped")
        fleet.serving[node] = NEW
    answers = Comparison(fleet, Command("check", dict.fromkeys(wave, NEW)), document).judge(wave)
    assert answers["web-1"].held == "errors: web-2 tells nothing of itself"
    assert not answers["web-2"].ok


def test_nodes_on_which_nothing_changes_are_compared_with_too():
    document = document_of({"web-1": "web"}, gates={"web": (ERRORS,)}).with_node(
        "web-1", state="swapped"
    )
    fleet = FakeFleet.of(["web-1", "web-9", "db-1"], pages=Serving(new_bad=5))
    fleet.serving["web-1"] = NEW
    document = replace(document, beside={"web-9": "web", "db-1": "db"}).planned()
    answer = Comparison(fleet, Command("check", {"web-1": NEW}), document).judge(["web-1"])["web-1"]
    assert "the old 0: worse by more than 0.01" in answer.error["why"]
    assert "db-1" not in {node for node, *_ in fleet.asked}


@pytest.mark.parametrize(
    ("script", "ok", "held", "says"),
    [
        ("echo all is well", True, False, "all is well"),
        ("echo no good; exit 1", False, False, "no good"),
        ("exit 3", False, False, "exit code 3"),
        ("echo not now; exit 75", False, True, "not now"),
        ('test "$EV_NODES" = web-1 && echo "$EV_ROLLOUT"', True, False, "R000001"),
    ],
)
def test_a_command_of_the_users_own(script, ok, held, says):
    answer = _compared(Serving(new_bad=0), ("sh", "-c", script))
    assert (answer.ok, bool(answer.held)) == (ok, held)
    assert says in str(answer)


def test_a_command_that_is_not_there_fails():
    assert not _compared(Serving(new_bad=0), ("/no/such/command",)).ok
