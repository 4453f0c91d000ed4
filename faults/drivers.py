"""The driver is killed, at every step; its master is; two operators want the same nodes."""

from __future__ import annotations

from cli.lab import traces
from cli.rollout.document import FINAL
from demo.client import wait_for
from faults.fault import Outcome
from faults.running import Line, Running
from faults.scene import Scene

STEPS_MAX = 200
ENDED_S = 120.0


def killed_at_every_step(scene: Scene) -> Outcome:
    """When it has written down a step that none before it was killed at: it is about to ask nodes,
    or they have answered. The next one resumes."""
    killed_at: set[tuple[str, ...]] = set()
    running = scene.begin(scene.good, short_lease=True)
    rollout = ""
    for _ in range(STEPS_MAX):
        if not _killed_at_a_new_step(running, killed_at):
            break
        rollout = running.rollout
        if scene.document(rollout).state in FINAL:
            break
        scene.wait_until_free(rollout)
        running = Running(scene.evctl, "rollout", "resume", rollout, short_lease=True)
    return Outcome(scene.document(rollout).state, scene.everywhere(scene.good))


def _killed_at_a_new_step(running: Running, killed_at: set[tuple[str, ...]]) -> bool:
    """False: it has come to its end."""
    for line in running.each():
        step = _step(line)
        if line.get("event", "answer") != "answer" and step not in killed_at:
            killed_at.add(step)
            running.kill()
            return True
    running.end()
    return False


def _step(line: Line) -> tuple[str, ...]:
    return (line.get("event", ""), *sorted(line.get("nodes", ())))


def killed_in_a_swap(scene: Scene, *, short_lease: bool = False) -> Outcome:
    """Anyone may resume when its lease is over."""
    running = scene.begin(scene.good, short_lease=short_lease)
    running.until_event("swap")
    running.kill()
    scene.wait_until_free(running.rollout)
    scene.evctl("rollout", "resume", running.rollout, expect=None)
    return Outcome(scene.document(running.rollout).state, scene.everywhere(scene.good))


def killed_on_the_way_back(scene: Scene) -> Outcome:
    """Its operator aborts it; the driver that takes it back is killed, and another goes on."""
    first = scene.begin(scene.good, short_lease=True)
    first.until_event("swap_done")
    first.kill()
    scene.wait_until_free(first.rollout)
    back = Running(scene.evctl, "rollout", "abort", first.rollout, "--yes", short_lease=True)
    back.until_event("revert")
    back.kill()
    scene.wait_until_free(first.rollout)
    scene.evctl("rollout", "resume", first.rollout, expect=5)
    return Outcome(scene.document(first.rollout).state, scene.everywhere(scene.base))


def master_restarted(scene: Scene) -> Outcome:
    """Killed while nodes swap. The driver ends with it; nodes do what they were asked for."""
    running = scene.begin(scene.good)
    running.until_event("swap_done")
    running.until_event("swap")
    traces.kill(scene.lab, ("master",))
    running.end()
    scene.lab_up()
    if scene.document(running.rollout).state not in FINAL:
        scene.evctl("rollout", "resume", running.rollout, expect=None)
    return Outcome(scene.document(running.rollout).state, scene.everywhere(scene.good))


def two_operators(scene: Scene) -> Outcome:
    """The second gets exit code 8 and is told who has the nodes; the first one never notices."""
    first = scene.begin(scene.good)
    first.until_event("swap")
    second = scene.roll_out(scene.good, expect=8)
    error = next(line["error"] for line in second.lines if "error" in line)
    if first.rollout not in error["what"]:
        raise AssertionError(f"the second operator was told {error['what']!r}")
    first.end()
    wait_for(lambda: scene.document(first.rollout).state in FINAL, ENDED_S, "the first ends")
    return Outcome(scene.document(first.rollout).state, scene.everywhere(scene.good))
