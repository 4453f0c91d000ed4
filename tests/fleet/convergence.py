"""A node that is off is never fine, and comes to the release that is right for it when it is back:
by its master, and without it.

It is run by test_bad_input.py, in the lab that it has.
"""

from __future__ import annotations

import http.client
import json
import os
import time

from cli.lab import operate, traces
from demo.probe import answers
from tests.fleet.foreign_fleet import PORT, Fleet

CONVERGED_S = 120.0  # a minute, on a machine that is half as quick
LONG_AGO_S = 3600


def test_a_node_that_is_off_is_never_fine_and_comes_back_right(
    fleet: Fleet,
) -> None:
    """First without a master: it dies before the node is back. Then with it."""
    before = fleet.serving()
    new = fleet.release("1.4.0")
    operate.power_off(fleet.lab, "web-02")
    try:
        _is_never_fine(fleet, "web-02", before, new)
        done = fleet.evctl(*fleet.roll_out(new), "--max-unreachable", "1", expect=7)
        state = next(line["state"] for line in reversed(done.lines) if "swapped" in line)
        assert state == "partial"
        traces.kill(fleet.lab, ("master",))
        _last_heard_long_ago(fleet, "web-02")
        _power_on(fleet, "web-02")
        fleet.refused("status", exit_code=7, code="E3001")
        fleet.refused(*fleet.roll_out(new), exit_code=7, code="E3001")
        _await_release(fleet, "web-02", new)
        assert all(answers(node.address, PORT) for node in fleet.lab.nodes)

        operate.up(fleet.lab.root, "bad", "auto", None, print)
        operate.power_off(fleet.lab, "web-02")
        fleet.evctl("rollback", "--yes", expect=7)
        _power_on(fleet, "web-02")
        _await_release(fleet, "web-02", before["web-02"])
    finally:
        operate.up(fleet.lab.root, "bad", "auto", None, print)
    assert fleet.serving() == before


def _is_never_fine(fleet: Fleet, node: str, before: dict[str, str], new: str) -> None:
    error = fleet.refused(*fleet.roll_out(new), exit_code=7, code="E4005")
    assert node in error["what"]
    nodes = fleet.evctl("status", expect=7).result["nodes"]
    assert nodes.pop(node)["state"] == "silent"
    assert {name: (said["state"], said["release"]) for name, said in nodes.items()} == {
        name: ("serving", release) for name, release in before.items() if name != node
    }


def _power_on(fleet: Fleet, node: str) -> None:
    """Its own power alone: `operate.up` would bring the master back too, and wait."""
    operate.driver_of(fleet.lab).power_on(fleet.lab, fleet.lab.node(node))


def _last_heard_long_ago(fleet: Fleet, node: str) -> None:
    """As if it had been off for an hour: else it would wait until its master has been silent."""
    then = time.time() - LONG_AGO_S
    os.utime(fleet.lab.node_root(node) / "opt/evctl/told.json", (then, then))


def _await_release(fleet: Fleet, node: str, release: str) -> None:
    deadline = time.monotonic() + CONVERGED_S
    said: object = None
    while said != release:
        assert time.monotonic() < deadline, f"{node} serves {said}, not {release}"
        said = _release(fleet.lab.node(node).address, PORT)
        time.sleep(0.1)


def _release(address: str, port: int) -> object:
    """What answers at /version says."""
    connection = http.client.HTTPConnection(address, port, timeout=1)
    try:
        connection.request("GET", "/version", headers={"Connection": "close"})
        return json.loads(connection.getresponse().read())["release"]
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
