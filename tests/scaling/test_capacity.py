"""Capacity on paper: each figure by hand, for one rate."""

import json
from pathlib import Path

import pytest

from scaling import figures, limits, prices
from scaling.capacity import Capacity, capacity, pack_events_at
from scaling.consumption import Stream, consumed
from scaling.figures import BadFigures

FIGURES = figures.load()
PRICES = prices.load()


def at(rate: float, **more: object) -> Capacity:
    return capacity(rate, 250, FIGURES, PRICES, instance="c7g.medium", **more)  # type: ignore[arg-type]


def used(capacity: Capacity, name: str) -> float:
    return next(one.used for one in capacity.limits if name in one.name)


def test_nodes_are_as_full_as_the_autoscaler_keeps_them_and_never_fewer_than_their_floors():
    assert at(1).nodes == {"collector": 2, "processor": 2, "postprocessor": 1, "autoscaler": 1}
    # 1,000,000 of 350,000 and of 128,000 a core, at three quarters
    assert at(1_000_000).nodes == {
        "collector": 4,
        "processor": 11,
        "postprocessor": 1,
        "autoscaler": 1,
    }


def test_the_json_has_these_keys_and_no_others():
    said = at(200_000).to_json()
    assert list(said) == [
        "nodes",
        "usd_per_hour",
        "usd_per_billion_events",
        "first_limit",
        "limits",
        "measured_by",
    ]
    assert all(list(one) == ["name", "used", "limit"] for one in said["limits"])
    assert said["first_limit"] == said["limits"][0]["name"]
    assert json.loads(json.dumps(said)) == said


def test_a_stream_consumes_what_its_packs_do():
    """400 packs a second of 500 events: each message is one request, each index item one unit."""
    stream = Stream(200_000, 250, 500, processors=2, placement="segments")
    seen = consumed(stream, FIGURES, PRICES)
    assert seen.packs_per_s == 400
    assert seen.sqs_requests == 3 * 400
    assert seen.pack_writes == 1
    assert seen.groups_per_s == pytest.approx(400 * seen.pack_bytes / (4 << 20))
    assert seen.writes == pytest.approx(400 * 2 + seen.groups_per_s * 4)
    assert seen.window_writes == 400 + seen.groups_per_s
    assert seen.in_flight == 800
    assert seen.puts == pytest.approx(2 * seen.groups_per_s + 1)


def test_slow_traffic_is_stored_by_the_clock_and_never_more_often_than_it_comes():
    slow = consumed(Stream(100, 250, 10, processors=2, placement="segments"), FIGURES, PRICES)
    assert slow.groups_per_s == 1  # two processors, every two seconds
    rare = consumed(Stream(1, 250, 10, processors=2, placement="segments"), FIGURES, PRICES)
    assert rare.groups_per_s == rare.packs_per_s == 0.1


def test_client_ids_are_divided_into_logs_as_traffic_grows():
    few = consumed(Stream(10_000, 250, 500, 2, "items", client_ids=1), FIGURES, PRICES)
    assert (few.logs, few.key_writes) == (1, 20 * 8)  # an entry of 500 ids for each pack
    many = consumed(Stream(200_000, 250, 500, 2, "segments", client_ids=1), FIGURES, PRICES)
    assert (many.logs, many.log_writes) == (14, pytest.approx(many.groups_per_s))


def test_large_messages_are_billed_by_their_64_kb():
    stream = Stream(100_000, 350, 5000, processors=2)
    seen = consumed(stream, FIGURES, PRICES)
    chunks = -(-(5000 * (51.45 - 23) + 300) // limits.SQS_CHUNK_BYTES)
    assert seen.sqs_requests == pytest.approx(20 * (2 * chunks + 1))


def test_placement_auto_is_the_cheaper_of_the_two():
    for rate, pack_events, segments in ((0.1, 1, False), (200_000, 10, True), (200_000, 500, True)):
        costs = {
            placement: at(rate, placement=placement, pack_events=pack_events).usd_per_hour
            for placement in ("items", "segments", "auto")
        }
        assert costs["auto"] == costs["segments" if segments else "items"]
        assert costs["auto"] == min(costs.values())


def test_a_billion_events_as_items_cost_what_the_write_units_say():
    """Packs of 500 larger events cost $46 to $58 as items; the counts beside them come on top."""
    items = at(200_000, placement="items", pack_events=500)
    dynamodb = items.per_billion(items.costs["DynamoDB"])
    assert 25 < dynamodb < 58
    auto = at(200_000)
    assert auto.per_billion(auto.usd_per_hour + auto.zones_usd_per_hour) <= 10
    disks = auto.costs["disks"] / sum(auto.nodes.values())
    assert disks * 730 == pytest.approx(8 * 0.08)
    assert auto.per_billion(auto.zones_usd_per_hour) == pytest.approx(250 * 2 / 3 * 0.02)


def test_what_binds_first_is_named():
    found = at(200_000, pack_events=500)
    assert found.first.name == "DynamoDB: write units/s of the open window"
    assert found.first.share < 0.5
    assert at(200_000, pack_events=100).first.share > 1


def test_queues_are_as_many_as_packs_in_flight_need():
    few = at(200_000)
    assert few.queues == 1
    many = at(1_000_000, pack_events=20, placement="segments")
    assert many.queues == 2  # 100,000 held for two seconds, queues three quarters full
    assert used(many, "in flight") == pytest.approx(100_000 / 2)


def test_packs_fill_with_the_rate_up_to_their_bytes():
    assert pack_events_at(200, 250, 2) == 10
    assert pack_events_at(1, 250, 2) == 1
    assert pack_events_at(10_000_000, 250, 2) == (1 << 20) // 250


def test_bytes_of_an_event_are_as_measured_between_the_rows_too():
    assert FIGURES.stored_bytes(350, 500) == pytest.approx(59.03 * 51.21 / 51.21)
    assert FIGURES.stored_bytes(350, 9999) == pytest.approx(51.45)
    assert 72.47 > FIGURES.stored_bytes(350, 200) > 59.03
    assert FIGURES.stored_bytes(250, 500) < FIGURES.stored_bytes(350, 500)


def test_a_bench_of_ones_own_counts(tmp_path: Path):
    bench = tmp_path / "bench.json"
    rows = [
        {"name": "collector_batch500", "value": 100_000},
        {"name": "processor", "value": 50_000},
    ]
    bench.write_text(json.dumps({"at": "2026-11-27T00:00:00Z", "cores": 4, "rows": rows}))
    own = figures.load(bench)
    assert own.events_per_core_s["processor"] == 50_000
    assert own.measured_by == "bench.json of 2026-11-27T00:00:00Z, 4 cores"
    on_aws = [*rows, {"name": "processor_aws", "value": 40_000}]
    bench.write_text(json.dumps({"at": "", "cores": 4, "rows": on_aws}))
    assert figures.load(bench).events_per_core_s["processor"] == 40_000
    bench.write_text(json.dumps({"at": "", "cores": 4, "rows": rows[:1]}))
    with pytest.raises(BadFigures, match="lacks a row"):
        figures.load(bench)
    bench.write_text("[]")
    with pytest.raises(BadFigures, match="no file of `make bench`"):
        figures.load(bench)
