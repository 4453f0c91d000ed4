"""`evctl aws bill`: what generations have counted, over the time that is asked for, in dollars."""

from __future__ import annotations

import json
import time

import pytest

from cli.aws.bill import bill_of
from scaling.prices import load
from tests.rollout.fake_fleet import SILENT

NOW_S = 1_000_000.0
HOUR_S = 3600.0


def page(role: str, age_s: float, *lines: str, now_s: float = NOW_S) -> str:
    info = f'ev_info{{role="{role}",release="r",node="n"}} 1'
    return "\n".join([info, f"process_start_time_seconds {now_s - age_s}", *lines]) + "\n"


COLLECTOR = (
    'ev_aws_sqs_requests_total{operation="send_message_batch"} 1000000',
    'ev_aws_sqs_requests_total{operation="get_queue_attributes"} 500000',
    'ev_aws_sent_bytes_total{service="sqs"} 7000',
    "ev_events_acked_total 2000000",
)
PROCESSOR = (
    'ev_aws_sqs_requests_total{operation="receive_message"} 500000',
    'ev_aws_sqs_empty_receives_total{operation="receive_message"} 9',
    'ev_aws_dynamodb_write_units_total{operation="put_item"} 1000000',
    'ev_aws_dynamodb_read_units_total{operation="query"} 2000000',
    'ev_aws_s3_puts_total{operation="put_object"} 1000',
    'ev_aws_s3_gets_total{operation="get_object"} 1000',
    "ev_events_stored_total 1",
)


def test_what_young_generations_have_counted_is_taken_whole():
    pages = {
        "collector-01": {"r": page("collector", 1800, *COLLECTOR)},
        "processor-01": {"r": page("processor", HOUR_S, *PROCESSOR)},
    }
    made = bill_of(pages, NOW_S, HOUR_S, load())
    assert {line.what: (line.amount, line.usd and round(line.usd, 6)) for line in made.lines} == {
        "SQS requests of up to 64 KB": (2_000_000, 0.8),
        "DynamoDB write units": (1_000_000, 0.625),
        "DynamoDB read units": (2_000_000, 0.25),
        "S3 PUT, LIST": (1000, 0.005),
        "S3 GET": (1000, 0.0004),
        "of the SQS requests, empty receives": (9, None),
        "bytes sent to AWS": (7000, None),
        "bytes received from AWS": (0, None),
    }
    assert made.usd == pytest.approx(1.6804)
    assert made.nat_usd == pytest.approx(7000e-9 * 0.045)
    assert made.events == 2_000_000
    assert made.usd_per_billion_events == pytest.approx(840.2)
    assert made.by_role["collector"] == pytest.approx(0.6)
    assert made.averaged == 0


def test_an_older_generation_is_taken_by_its_average():
    pages = {
        "collector-01": {
            "old": page("collector", 4 * HOUR_S, *COLLECTOR),
            "new": page("collector", 60, *COLLECTOR),
        }
    }
    made = bill_of(pages, NOW_S, HOUR_S, load())
    assert made.lines[0].amount == 1_500_000 * 1.25
    assert made.events == 2_000_000 * 1.25
    assert (made.averaged, len(made.generations)) == (1, 2)


def test_generations_that_have_ended_count_for_their_part():
    """The others on their node tell of them, each of the same."""

    def left(release: str, since_s: float, until_s: float, requests: int) -> list[str]:
        labels = f'release="{release}",since="{since_s}",until="{until_s}"'
        return [
            f'ev_ended_total{{counter="ev_aws_sqs_requests_total",{labels}}} {requests}',
            f'ev_ended_total{{counter="ev_events_acked_total",{labels}}} {requests * 10}',
        ]

    lines = [
        *left("1", NOW_S - 3 * HOUR_S, NOW_S - 2 * HOUR_S, 7),  # not in this hour
        *left("2", NOW_S - 2 * HOUR_S, NOW_S - HOUR_S / 2, 3000),  # a third of it is
        *left("3", NOW_S - HOUR_S / 2, NOW_S - 60, 50),
    ]
    pages = {
        "collector-01": {
            release: page("collector", age_s, 'ev_aws_sqs_requests_total{operation="x"} 5', *lines)
            for release, age_s in (("4", 60), ("5", 30))
        }
    }
    made = bill_of(pages, NOW_S, HOUR_S, load())
    assert made.lines[0].amount == pytest.approx(5 + 5 + 1000 + 50)
    assert made.events == pytest.approx(10_500)
    assert (made.ended, made.averaged) == (2, 1)
    assert [one.release for one in made.generations] == ["4", "5", "2", "3"]


def test_nobody_has_counted_anything():
    made = bill_of({"a": {"r": "nothing\n"}, "b": {}}, NOW_S, HOUR_S, load())
    assert (made.usd, made.events, made.usd_per_billion_events) == (0, 0, None)


def test_the_nodes_are_asked_and_who_is_silent_is_told(evctl, nodes):
    now_s = time.time()
    nodes.pages = lambda node, release: {release: page("web", 600, *COLLECTOR, now_s=now_s)}
    told = evctl("aws", "bill", "--json")
    (said,) = told.lines()
    assert told.code == 0
    assert said["silent"] == []
    assert said["lines"][0] == {
        "what": "SQS requests of up to 64 KB",
        "amount": 4_500_000,
        "usd": pytest.approx(1.8),
    }
    nodes.fails["web-02", "evrelease.metrics"] = SILENT
    told = evctl("aws", "bill", "--last", "5m")
    assert told.code == 7
    assert "5 min of 2 generations; 2 of them are older" in told.out
    assert "$ 300.00 a billion events" in told.out
    assert "? web-02 doesn't answer" in told.out
    assert json.loads(evctl("aws", "bill", "--json").out)["silent"] == ["web-02"]
