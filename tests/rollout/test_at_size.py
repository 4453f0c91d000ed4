"""The simulation of a rollout at size, at its smallest."""

from __future__ import annotations

from pathlib import Path

from bench.rollout.at_size import (
    LATENCIES,
    REGISTRY_REQUESTS,
    SimulatedClock,
    SimulatedFleet,
    names,
    simulate,
    table,
)


def test_a_hundred_nodes_converge_and_what_it_costs_is_counted(tmp_path: Path) -> None:
    row = simulate(100, 8, tmp_path)
    assert (row["state"], row["waves"]) == ("converged", 5)
    assert row["registry_requests_per_s"] == 100 * REGISTRY_REQUESTS
    assert row["messages_per_s"] >= 100  # of one job all nodes hear
    assert row["wall_s"] > LATENCIES["install_s"].value + 5 * LATENCIES["swap_s"].value


def test_what_an_overwhelmed_master_answers_too_late_is_silence() -> None:
    fleet = SimulatedFleet(100, SimulatedClock(), cores=0.01)
    answers = list(fleet.call(names(100), "evrelease.status", {}, 15.0))
    assert len(answers) == 100
    assert not answers[0].silent
    assert answers[-1].silent


def test_the_table_has_a_column_for_each_size() -> None:
    lines = list(table([{"nodes": 100, "wall_s": 1.5}, {"nodes": 10_000, "wall_s": 2_000}]))
    assert lines == [
        "| | 100 nodes | 10,000 nodes |",
        "|---|---:|---:|",
        "| wall_s | 1.5 | 2,000 |",
    ]
