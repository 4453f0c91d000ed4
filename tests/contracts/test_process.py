"""The process contract, for each app and each engine: one suite.

The tests of systemd are run by this suite too, on a machine of their own (process_machine.py). An
engine that can't be had here is reported as not run, never as passed.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from artifacts.health import ask
from artifacts.node_errors import GenerationFailed
from tests.contracts.http_load import Load, exchange, get
from tests.contracts.process_apps import (
    APPS,
    DRAIN_S,
    READY_S,
    REPOSITORY,
    App,
    place,
    release_id,
)
from tests.contracts.process_engines import ENGINES, ON_MACHINE, Engine, SupervisorEngine
from tests.contracts.process_outcomes import Outcomes

# A test's time doesn't include the machine's, whose every step has a bound of its own.
pytestmark = pytest.mark.timeout(func_only=True)

SWAPS = 3
REQUESTS_BETWEEN_SWAPS = 500
HEALTH = {"/livez": 200, "/readyz": 200, "/version": 200, "/metrics": 200}

MakeEngine = Callable[[App], Engine]


@pytest.fixture
def make_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeEngine | Outcomes]:
    if request.param == "systemd" and ON_MACHINE not in os.environ:
        yield request.getfixturevalue("machine_outcomes")
        return
    made: list[Engine] = []

    def make(app: App) -> Engine:
        made.append(ENGINES[request.param](tmp_path, app))
        return made[-1]

    yield make
    for engine in made:
        engine.down()


every_engine = pytest.mark.parametrize("make_engine", ENGINES, indirect=True)
supervisor_only = pytest.mark.parametrize("make_engine", ["supervisor"], indirect=True)
every_app = pytest.mark.parametrize("app", APPS.values(), ids=APPS.keys())
foreign = APPS["foreign"]


def started(engine: Engine, app: App, number: int) -> str:
    release = release_id(number)
    place(engine.layout, app, release)
    engine.services.start(app.role, release, ready_s=READY_S)
    return release


def releases(engine: Engine, app: App) -> dict[str, str]:
    return {found.release: found.state for found in engine.services.generations(app.role)}


@every_engine
@every_app
def test_ready_means_serving_on_both_sockets(make_engine: MakeEngine, app: App) -> None:
    engine = make_engine(app)
    release = started(engine, app, 1)

    (generation,) = engine.services.generations(app.role)
    assert (generation.release, generation.state) == (release, "serving")
    for path, status in HEALTH.items():
        assert ask(engine.services.admin_socket(app.role, release), path, 5).status == status
        assert asyncio.run(get(*engine.address, path))[0] == status

    version = json.loads(asyncio.run(get(*engine.address, "/version"))[1])
    assert version["release"] == release
    assert (version["role"], version["node"]) == (app.role, engine.node)
    assert version["pid"] == generation.pid


@every_engine
@every_app
def test_started_twice_is_started_once(make_engine: MakeEngine, app: App) -> None:
    engine = make_engine(app)
    release = started(engine, app, 1)
    before = engine.services.generations(app.role)
    engine.services.start(app.role, release, ready_s=READY_S)
    assert engine.services.generations(app.role) == before


@every_engine
@every_app
def test_generations_overlap_on_one_socket_and_each_answers_for_itself(
    make_engine: MakeEngine, app: App
) -> None:
    engine = make_engine(app)
    both = {started(engine, app, 1), started(engine, app, 2)}
    assert releases(engine, app) == dict.fromkeys(both, "serving")
    for release in both:
        answer = ask(engine.services.admin_socket(app.role, release), "/version", 5)
        assert answer.json()["release"] == release


@every_engine
def test_a_role_has_a_folder_of_its_own_that_generations_share(make_engine: MakeEngine) -> None:
    engine = make_engine(APPS["collector"])
    for number in (1, 2):
        release = started(engine, engine.app, number)
        own = engine.services.admin_socket(engine.app.role, release)
        assert b"ev_spool_bytes 0" in ask(own, "/metrics", 5).body
        assert engine.layout.state(engine.app.role).joinpath("spool").is_dir()


@every_engine
@every_app
def test_swaps_under_load_fail_no_request(make_engine: MakeEngine, app: App) -> None:
    engine = make_engine(app)

    async def swap_under_load() -> None:
        serving = await asyncio.to_thread(started, engine, app, 0)
        load = Load(*engine.address, "/version", keep_alive=8, one_request=4)
        for number in range(1, SWAPS + 1):
            await asyncio.wait_for(load.answered(REQUESTS_BETWEEN_SWAPS), 30)
            new = await asyncio.to_thread(started, engine, app, number)
            await asyncio.wait_for(load.answered(REQUESTS_BETWEEN_SWAPS), 30)
            stop = engine.services.stop
            assert await asyncio.to_thread(stop, app.role, serving, drain_s=DRAIN_S)
            serving = new
        await asyncio.wait_for(load.answered(REQUESTS_BETWEEN_SWAPS), 30)
        tally = await load.stop()
        assert tally.failures == []
        assert tally.answered >= SWAPS * 2 * REQUESTS_BETWEEN_SWAPS
        answered_by = {json.loads(body)["release"] for body in tally.bodies}
        assert answered_by == {release_id(number) for number in range(SWAPS + 1)}

    asyncio.run(swap_under_load())


@every_engine
def test_drain_answers_what_is_in_flight_and_closes_kept_connections(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(foreign)

    async def drain_in_flight() -> None:
        old = await asyncio.to_thread(started, engine, foreign, 1)
        reader, writer = await asyncio.open_connection(*engine.address)
        status, _, stays = await exchange(reader, writer, "/hello", keep=True)
        assert (status, stays) == (200, True)

        await asyncio.to_thread(started, engine, foreign, 2)
        in_flight = asyncio.create_task(exchange(reader, writer, "/slow/3000", keep=True))
        await asyncio.wait_for(until_in_flight(engine, old), 10)
        stop = engine.services.stop
        drained = asyncio.create_task(asyncio.to_thread(stop, foreign.role, old, drain_s=DRAIN_S))
        status, body, stays = await asyncio.wait_for(in_flight, 10)
        assert (status, stays) == (200, False)
        assert old.encode() in body
        assert await asyncio.wait_for(drained, 10)
        assert releases(engine, foreign) == {release_id(2): "serving"}
        writer.close()

    asyncio.run(drain_in_flight())


async def until_in_flight(engine: Engine, release: str) -> None:
    own = engine.services.admin_socket(foreign.role, release)
    while b"web_in_flight 1" not in (await asyncio.to_thread(ask, own, "/metrics", 5)).body:
        await asyncio.sleep(0.01)


@every_engine
@pytest.mark.parametrize(
    ("fault", "ready_s", "why"),
    [("die", READY_S, "ended with status"), ("never-ready", 1.0, "never said READY=1")],
)
def test_a_bad_generation_is_told_with_evidence_and_leaves_nothing(
    make_engine: MakeEngine, fault: str, ready_s: float, why: str
) -> None:
    engine = make_engine(foreign)
    good = started(engine, foreign, 1)
    engine.plant({"fault": fault})
    bad = release_id(2)
    place(engine.layout, foreign, bad)
    with pytest.raises(GenerationFailed) as raised:
        engine.services.start(foreign.role, bad, ready_s=ready_s)
    assert why in raised.value.why
    assert f"starting, fault {fault}" in raised.value.why
    assert releases(engine, foreign) == {good: "serving"}
    assert asyncio.run(get(*engine.address, "/hello"))[0] == 200


@every_engine
def test_a_generation_that_ends_is_started_again(make_engine: MakeEngine) -> None:
    engine = make_engine(foreign)
    release = started(engine, foreign, 1)
    (before,) = engine.services.generations(foreign.role)
    assert before.pid is not None
    os.kill(before.pid, 9)
    status, body = asyncio.run(get(*engine.address, "/version"))  # waits in the backlog
    assert status == 200
    assert json.loads(body)["release"] == release
    (after,) = engine.services.generations(foreign.role)
    assert after.pid != before.pid
    assert after.restarts == 1


@every_engine
def test_a_drain_past_its_deadline_is_killed_and_said(make_engine: MakeEngine) -> None:
    engine = make_engine(foreign)
    engine.plant({"fault": "ignore-sigterm"})
    release = started(engine, foreign, 1)
    assert engine.services.stop(foreign.role, release, drain_s=0.5) is False
    assert releases(engine, foreign) == {}


@every_engine
def test_stopping_what_does_not_run_is_done_already(make_engine: MakeEngine) -> None:
    engine = make_engine(foreign)
    assert engine.services.stop(foreign.role, release_id(9), drain_s=1) is True


@supervisor_only
def test_after_kill_9_of_the_supervisor_a_new_one_serves_what_is_current(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(foreign)
    assert isinstance(engine, SupervisorEngine)
    release = started(engine, foreign, 1)
    engine.layout.set_current(foreign.role, release)
    (before,) = engine.services.generations(foreign.role)
    engine.kill()
    engine.power_on()
    status, body = asyncio.run(get(*engine.address, "/version"))
    assert status == 200
    assert json.loads(body)["release"] == release
    assert json.loads(body)["pid"] != before.pid
    assert not _alive(before.pid)


@supervisor_only
def test_sigterm_of_the_supervisor_drains_everything(make_engine: MakeEngine) -> None:
    engine = make_engine(foreign)
    assert isinstance(engine, SupervisorEngine)
    started(engine, foreign, 1)
    started(engine, foreign, 2)
    pids = [generation.pid for generation in engine.services.generations(foreign.role)]
    engine.down()
    assert engine.process.returncode == 0
    assert not any(_alive(pid) for pid in pids)
    for number in (1, 2):
        assert "drained in" in engine.layout.log(foreign.role, release_id(number)).read_text()


@supervisor_only
def test_a_second_supervisor_is_refused(make_engine: MakeEngine) -> None:
    engine = make_engine(foreign)
    assert isinstance(engine, SupervisorEngine)
    second = subprocess.run(
        engine.command, cwd=REPOSITORY, capture_output=True, text=True, timeout=30, check=False
    )
    assert second.returncode == 2
    assert "another supervisor" in second.stderr
    assert engine.process.poll() is None


def _alive(pid: int | None) -> bool:
    """Within a moment: the kernel's news of a parent's death travels for itself."""
    assert pid is not None
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.02)
    return True
