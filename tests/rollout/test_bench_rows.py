"""The rows of `make bench-rollout`, read and told: no lab is needed."""

from __future__ import annotations

import json

from bench.rollout.rows import Row, json_lines, read_row, table, wave_overheads_s

ROW = Row(
    name="evctl",
    case="one-down",
    prefetched=True,
    wall_s=7.25,
    requests_sent=2_345,
    requests_failed=0,
    exit_code=7,
    nodes_done=5,
    node_named=True,
    wave_overhead_s=(0.9, 1.1),
    busy=0.31,
)


def test_a_row_is_read_as_it_was_written():
    assert read_row(json.loads(json.dumps(ROW.to_json()))) == ROW


def test_a_row_has_what_the_issue_asks_for():
    asked = {"name", "case", "wall_s", "requests_sent", "requests_failed", "exit_code"}
    assert asked <= ROW.to_json().keys()


def test_the_table():
    *_, line = table([ROW])
    assert line == "| evctl, one-down | 7.2 | 0 / 2,345 | 7 | 5 | yes | 31% |"


def test_what_a_wave_takes_beyond_its_longest_drain():
    printed = [
        {"event": "swap", "at": 100.0},
        {"event": "answer", "action": "swap", "at": 101.0, "result": {"drain_s": 0.5}},
        {"event": "answer", "action": "swap", "at": 101.2, "result": {"drain_s": 0.7}},
        {"event": "swap_done", "at": 101.2},
        {"event": "check", "at": 101.3},
        {"event": "check_done", "at": 101.6},
        {"event": "swap", "at": 101.7},
        {"event": "answer", "action": "swap", "at": 102.0, "silent": True},
        {"event": "check_done", "at": 103.0},
        {"id": "R000001"},
    ]
    lines = "Range collector-[01-06]\n" + "\n".join(map(json.dumps, printed))
    assert wave_overheads_s(json_lines(lines)) == (0.9, 1.3)
