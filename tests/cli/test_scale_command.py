"""`evctl scale capacity` and `simulate`: no fleet is needed, nobody is asked."""

from __future__ import annotations

import json
import re

import pytest

from cli.main import run
from cli.scale_view import strip
from scaling import figures, prices, trace
from scaling.capacity import capacity
from tests.cli.conftest import REPOSITORY, run_evctl

FOUR_FOLD = REPOSITORY / "docs/traces/four-fold.csv"


def test_capacity_for_people_names_what_binds_first_and_where_figures_come_from(tmp_path):
    ran = run_evctl("scale", "capacity", "--rate", "200000", "--event-bytes", "250", cwd=tmp_path)
    assert ran.code == 0
    assert "2 collector, 3 processor, 1 postprocessor, 1 autoscaler" in ran.out
    assert "first to bind: " in ran.out
    assert "measured by: make bench" in ran.out
    assert "prices: us-east-1, prices read on 20" in ran.out


def test_capacity_as_json(tmp_path):
    ran = run_evctl(
        *("scale", "capacity", "--rate", "200000", "--pack-events", "500", "--json"), cwd=tmp_path
    )
    said = json.loads(ran.out)
    assert said["first_limit"] == "DynamoDB: write units/s of the open window"
    assert said["nodes"]["processor"] == 3
    assert 0 < said["usd_per_billion_events"] < 125


def test_a_simulation_draws_nodes_backlog_and_cost_and_tells_each_decision(tmp_path):
    targets = tmp_path / "targets.yaml"
    targets.write_text("processor: {floor: 1}\n")
    ran = run_evctl(
        "scale", "simulate", "--trace", str(FOUR_FOLD), "--targets", str(targets), cwd=tmp_path
    )
    assert ran.code == 0
    for name in ("events/s", "backlog", "processor", "$ an hour"):
        assert f"\n{name}" in f"\n{ran.out}"
    assert "0:10:00  processor 1 → 3: " in ran.out
    assert "processor 3 → 1: " in ran.out


def test_a_simulation_as_json_is_a_line_a_look(tmp_path):
    ran = run_evctl("scale", "simulate", "--trace", str(FOUR_FOLD), "--json", cwd=tmp_path)
    ticks = [json.loads(line) for line in ran.out.splitlines()]
    assert len(ticks) == 4800 / 15
    assert max(tick["nodes"]["processor"] for tick in ticks) == 3
    assert ticks[-1]["backlog"] == 0


@pytest.mark.parametrize(
    ("option", "text", "why"),
    [
        ("--trace", "0,100\nnoon,200\n", "line 2: 'noon,200': expected seconds,events_per_s"),
        ("--trace", "0,100\n60,-1\n", "line 2: '60,-1': expected numbers of 0 and more"),
        ("--trace", "0,100\n60,100\n30,100\n", "its seconds begin at 0 and only grow"),
        ("--trace", "", "it has 0 lines"),
        ("--trace", "0,100\n5,100\n", "every 15 s"),
        ("--targets", "web: {}", "web: expected one of collector, processor, postprocessor"),
        ("--targets", "processor: {ceiling: 0}", "processor: ceiling: 0: expected 1 to 1000"),
        ("--targets", "processor: {floor: 9, ceiling: 3}", "a floor of 9 is above its ceiling"),
        ("--targets", "processor: {roof: 9}", "processor: 'roof': expected one of floor"),
        ("--figures", "{}", "it is no file of `make bench`"),
    ],
)
def test_a_file_that_is_none_is_told_with_line_key_and_bounds(tmp_path, capsys, option, text, why):
    given = tmp_path / "given"
    given.write_text(text)
    files = {"--trace": FOUR_FOLD, option: given}
    words = [str(word) for pair in files.items() for word in pair]
    code = run(["scale", "simulate", *words, "--json"])
    error = json.loads(capsys.readouterr().out)["error"]
    assert (code, error["code"]) == (2, "E5601")
    assert why in error["why"]


def test_a_strip_shows_the_most_of_each_share_of_the_time():
    assert strip([0, 0, 0]) == "   "
    assert strip([0, 1, 8]) == " ▁█"
    assert len(strip([1.0] * 1000)) == 60
    assert strip([0.0] * 999 + [5.0])[-1] == "█"


def test_the_traces_of_the_documents_are_traces():
    for file in sorted((REPOSITORY / "docs/traces").glob("*.csv")):
        assert trace.load(file).seconds > 0


PAGE = (REPOSITORY / "docs/scaling.md").read_text()
PRINTED = re.findall(r"```console\n\$ ([^\n]*)\n```\n```text\n(.*?)\n```", PAGE, re.S)
ROWS = re.findall(r"^\| ([\d,]+) \| (items|segments) \|(.*) \| ([^|]*) \|$", PAGE, re.M)


@pytest.mark.parametrize(("line", "printed"), PRINTED)
def test_the_page_shows_what_its_commands_print(line, printed):
    assert run_evctl(*line.split()[1:], cwd=REPOSITORY).out.rstrip() == printed


def test_the_page_s_table_of_costs_is_what_its_command_prints():
    assert len(ROWS) == 10
    for pack_events, placement, costs, first in ROWS:
        found = capacity(
            200_000,
            250,
            figures.load(),
            prices.load(),
            instance="c7g.medium",
            placement=placement,
            pack_events=int(pack_events.replace(",", "")),
        )
        ready = found.provisioned_usd_per_hour(prices.load())
        per_hour = (*found.costs.values(), found.usd_per_hour, ready)
        usd = [found.per_billion(one) for one in per_hour]
        said = [float(one.replace(",", "")) for one in costs.split("|")]
        assert said[:-1] == [round(one, 2) for one in usd]
        assert first.startswith(found.first.name)
