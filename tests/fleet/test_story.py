"""The demo's own story on a real lab, shorter: every promise of its receipt must hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.lab.nspawn import obstacle
from demo.receipt import from_json, verdict
from demo.story import Setting, tell

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(600)]

REQUESTS_MIN = 10_000


def test_nothing_is_lost_through_rollouts_bad_releases_and_a_rollback(tmp_path: Path) -> None:
    """On machines where they can be had; labs of processes have tests of their own, always."""
    driver = "process" if obstacle() else "nspawn"
    setting = Setting(
        driver=driver, lab=f"story-{driver}", folder=tmp_path, requests_min=REQUESTS_MIN
    )
    told = tell(setting)
    receipt = from_json(json.loads((tmp_path / "receipt.json").read_text()))
    assert receipt == told
    assert verdict(receipt, requests_min=REQUESTS_MIN, swaps_min=setting.swaps_min) == []
    assert receipt.driver == driver
    assert [rollout.state for rollout in receipt.rollouts] == [
        "converged",  # the second release
        "rolled_back",  # dies at its start
        "rolled_back",  # never becomes ready
        "converged",  # one node back, without the registry
        "converged",  # the others back
        "converged",  # another release
    ]
    assert [rollout.swaps for rollout in receipt.rollouts] == [5, 0, 0, 1, 4, 5]
    assert {node.release for node in receipt.nodes.values()} == {receipt.rollouts[-1].to}
    assert max(receipt.speed.pss_mib.values()) < 120
    assert set(receipt.speed.pss_mib) == {"collector", "processor", "postprocessor"}
    page = (tmp_path / "report.html").read_text()
    assert all(name in page for name in receipt.nodes)
