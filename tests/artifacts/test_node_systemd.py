"""The systemd engine: the commands that it runs, and what it makes of the answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from artifacts.layout import Layout
from artifacts.node_errors import BadReleaseId, GenerationFailed, ServicesUnavailable
from artifacts.services import Generation
from artifacts.services_systemd import Done, SystemdServices, blocks, failed, timespan_s

RELEASE = "1.8.2-0123456789ab"
UNIT = f"ev-web@{RELEASE}.service"
SHOW = (
    "systemctl", "show", "--property",
    "Id,ActiveState,SubState,Result,NRestarts,MainPID,ExecMainStatus,TimeoutStopUSec,Job",
)  # fmt: skip
START = ("systemctl", "start", "--no-block", UNIT)
STOP = ("systemctl", "stop", UNIT)
JOURNAL = (
    "journalctl", "--quiet", "--no-pager", "--output", "cat", "--lines", "20", "--unit", UNIT,
)  # fmt: skip


class Scripted:
    """Stands in for the one place that runs commands: answers in turn, and keeps what was asked."""

    def __init__(self, shows: list[dict[str, str]], **others: Done) -> None:
        self.shows = shows
        self.others = others
        self.asked: list[tuple[str, ...]] = []

    def __call__(self, argv: tuple[str, ...], timeout_s: float) -> Done:
        assert timeout_s < 60
        self.asked.append(argv)
        if argv[:2] == ("systemctl", "show"):
            unit = self.shows.pop(0) if len(self.shows) > 1 else self.shows[0]
            return Done(0, "".join(f"{key}={value}\n" for key, value in unit.items()), "")
        return self.others.get(argv[0] if argv[0] != "systemctl" else argv[1], Done(0, "", ""))


def unit(active: str, sub: str = "", **more: str) -> dict[str, str]:
    return {"Id": UNIT, "ActiveState": active, "SubState": sub, "NRestarts": "0", "Job": "0"} | more


def engine(script: Scripted) -> SystemdServices:
    return SystemdServices(Layout(Path("/"), Path("/run/evctl")), script)


def test_start_waits_for_ready() -> None:
    script = Scripted(
        [unit("inactive"), unit("inactive", Job="77"), unit("activating"), unit("active")]
    )
    engine(script).start("web", RELEASE, ready_s=5)
    assert script.asked == [(*SHOW, UNIT), START, *[(*SHOW, UNIT)] * 3]


def test_start_of_what_serves_asks_for_nothing() -> None:
    script = Scripted([unit("active")])
    engine(script).start("web", RELEASE, ready_s=5)
    assert script.asked == [(*SHOW, UNIT)]


def test_a_crash_is_told_with_the_journal_and_stopped() -> None:
    script = Scripted(
        [unit("inactive"), unit("activating", "auto-restart", ExecMainStatus="3")],
        journalctl=Done(0, "no module named web\n", ""),
    )
    with pytest.raises(GenerationFailed, match="did not start") as raised:
        engine(script).start("web", RELEASE, ready_s=5)
    assert raised.value.evidence == ("no module named web",)
    assert "status 3" in raised.value.why
    assert script.asked[-4:] == [JOURNAL, (*SHOW, UNIT), STOP, (*SHOW, UNIT)]


def test_never_ready_is_stopped() -> None:
    script = Scripted([unit("inactive"), unit("activating")])
    with pytest.raises(GenerationFailed) as raised:
        engine(script).start("web", RELEASE, ready_s=0.01)
    assert "never said READY=1 within 0.01 s" in raised.value.why
    assert STOP in script.asked


def test_a_refusal_is_told() -> None:
    script = Scripted([unit("inactive")], start=Done(5, "", f"Unit {UNIT} not found.\n"))
    with pytest.raises(ServicesUnavailable) as raised:
        engine(script).start("web", RELEASE, ready_s=1)
    assert "not found" in raised.value.why


@pytest.mark.parametrize(
    ("now", "is_failure"),
    [
        (unit("activating", "start"), False),
        (unit("activating", "auto-restart"), True),
        (unit("activating", "start", NRestarts="1"), True),
        (unit("failed"), True),
        (unit("inactive"), True),
        (unit("inactive", Job="12"), False),
        (unit("deactivating", "stop-sigterm"), False),
    ],
)
def test_when_a_start_has_failed(now: Mapping[str, str], is_failure: bool) -> None:
    assert (failed(dict(now), unit("inactive")) is not None) is is_failure


def test_stop_says_drained() -> None:
    script = Scripted([unit("active", TimeoutStopUSec="10s"), unit("inactive", Result="success")])
    assert engine(script).stop("web", RELEASE, drain_s=10) is True
    assert script.asked == [(*SHOW, UNIT), STOP, (*SHOW, UNIT)]


def test_a_stop_at_the_deadline_was_cut_short() -> None:
    script = Scripted([unit("active", TimeoutStopUSec="0us"), unit("inactive", Result="success")])
    assert engine(script).stop("web", RELEASE, drain_s=10) is False


def test_a_result_of_timeout_was_cut_short() -> None:
    script = Scripted([unit("active", TimeoutStopUSec="10s"), unit("failed", Result="timeout")])
    assert engine(script).stop("web", RELEASE, drain_s=10) is False


def test_stopping_what_is_gone_runs_nothing() -> None:
    script = Scripted([unit("inactive")])
    assert engine(script).stop("web", RELEASE, drain_s=10) is True
    assert script.asked == [(*SHOW, UNIT)]


def test_generations() -> None:
    script = Scripted([unit("active", MainPID="12", NRestarts="2")])
    assert engine(script).generations("web") == [Generation(RELEASE, "serving", 12, 2)]
    assert script.asked == [(*SHOW, "ev-web@*.service")]


def test_systemd_that_does_not_answer() -> None:
    def broken(argv: tuple[str, ...], timeout_s: float) -> Done:
        return Done(1, "", "Failed to connect to bus: No such file or directory\n")

    services = SystemdServices(Layout(Path("/"), Path("/run/evctl")), broken)
    with pytest.raises(ServicesUnavailable) as raised:
        services.generations("web")
    assert "Failed to connect to bus" in raised.value.why


@pytest.mark.parametrize(
    "release", ["../x", "1.0", "a b-0123456789ab", "-x-0123456789ab", "", "x\n"]
)
def test_only_release_ids_become_unit_names(release: str) -> None:
    script = Scripted([unit("inactive")])
    with pytest.raises(BadReleaseId):
        engine(script).start("web", release, ready_s=1)
    assert script.asked == []


def test_blocks_are_units() -> None:
    shown = "Id=a.service\nMainPID=1\n\nId=b.service\nMainPID=2\n"
    assert [one["Id"] for one in blocks(shown)] == ["a.service", "b.service"]
    assert blocks("") == []


@pytest.mark.parametrize(
    ("shown", "seconds"),
    [("10s", 10), ("1min 30s", 90), ("500ms", 0.5), ("1h", 3600), ("infinity", 7), ("", 7)],
)
def test_timespans(shown: str, seconds: float) -> None:
    assert timespan_s(shown, default_s=7) == seconds
