"""What each protocol answers, as its documentation and clients have it: taken, refused, full."""

import base64
import gzip
import json
import time
from collections.abc import Callable
from itertools import chain
from typing import Any
from urllib.parse import quote, urlencode

from google.rpc.status_pb2 import Status

from eventstore.times import iso_time
from tests.eventstore.clients.client_requests import PAYLOAD_DATA, PROTOBUF, TP2, otlp, record

NOW_MS = time.time_ns() // 1_000_000
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
NDJSON = {"Content-Type": "application/x-ndjson"}
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0"
PRETTY = '{"batch" : [ {"event" :"ä",\n "messageId": "m"} ,{"type":"page"}], "x":[[1]]}'
MIXPANEL = f'{{"event":"e","properties":{{"token":"t","$insert_id":"i","time":{NOW_MS}}}}}'
AMPLITUDE = f'{{"event_type":"e","insert_id":"i","time":{NOW_MS},"session_id":7}}'
SYSLOG = b'<165>1 2026-11-25T18:00:00.123Z host app 4711 PAID [o@1 id="1\\"2"] paid'


TAKEN: list[tuple[str, str, str | bytes, dict[str, str], tuple[int, str | bytes], list[Any]]] = [
    # what, target, body, headers, the answer, the events
    (
        "segment, pretty-printed",
        "/segment/v1/batch",
        PRETTY,
        {},
        (200, '{"success":true}'),
        ['{"event" :"ä",\n "messageId": "m"}', '{"type":"page"}'],
    ),
    ("segment, one call", "/segment/v1/track", '{"event":"e"}', {}, (200, '{"success":true}'),
     ['{"event":"e"}']),
    ("segment, from a page", "/segment/v1/p", '{"name":"n"}', {"Content-Type": "text/plain"},
     (200, '{"success":true}'), ['{"name":"n"}']),
    ("snowplow", TP2, f'{{"schema":"{PAYLOAD_DATA}","data":[{{"e":"pv"}}]}}', {}, (200, "ok"),
     ['{"e":"pv"}']),
    ("posthog", "/posthog/batch/", '{"api_key":"k","batch":[{"event":"e"}]}', {},
     (200, '{"status":"Ok"}'), ['{"event":"e"}']),
    ("posthog, one", "/posthog/capture/", '{"api_key":"k","event":"e"}', {},
     (200, '{"status":"Ok"}'), ['{"api_key":"k","event":"e"}']),
    ("posthog-js, an array", "/posthog/e/?ip=1", '[{"event":"e"},{"event":"f"}]',
     {"Content-Type": "text/plain"}, (200, '{"status":"Ok"}'), ['{"event":"e"}', '{"event":"f"}']),
    ("posthog-js, compressed", "/posthog/i/v0/e/?compression=gzip-js",
     gzip.compress(b'[{"event":"e"}]'), {"Content-Type": "text/plain"},
     (200, '{"status":"Ok"}'), ['{"event":"e"}']),
    ("posthog, one, without the slash", "/posthog/i/v0/e", '{"event":"e"}', {},
     (200, '{"status":"Ok"}'), ['{"event":"e"}']),
    ("posthog, one, as it was called", "/posthog/capture", '{"event":"e"}', {},
     (200, '{"status":"Ok"}'), ['{"event":"e"}']),
    ("posthog-js, without the slash", "/posthog/e?ip=1", '[{"event":"e"}]',
     {"Content-Type": "text/plain"}, (200, '{"status":"Ok"}'), ['{"event":"e"}']),
    ("posthog-js, base64", "/posthog/e/?compression=base64",
     "data=" + quote(base64.b64encode(b'{"event":"\xc3\xa4"}').decode()), FORM,
     (200, '{"status":"Ok"}'), ['{"event":"ä"}']),
    ("mixpanel, form", "/mixpanel/track", "data=" + quote(MIXPANEL), FORM, (200, "1"), [MIXPANEL]),
    ("mixpanel, base64", "/mixpanel/track?verbose=0",
     "data=" + quote(base64.b64encode(MIXPANEL.encode()).decode()), FORM, (200, "1"), [MIXPANEL]),
    ("mixpanel-js, as a page is left", "/mixpanel/track/?verbose=1&ip=1&_=1795629600123",
     "data=" + quote(base64.b64encode(MIXPANEL.encode()).decode()),
     {"Content-Type": "text/plain;charset=UTF-8"}, (200, '{"status":1,"error":null}'), [MIXPANEL]),
    ("mixpanel-js, a profile", "/mixpanel/engage/", 'data=[{"$distinct_id":"v"}]', FORM,
     (200, "1"), ['{"$distinct_id":"v"}']),
    ("mixpanel, verbose in the form", "/mixpanel/track",
     urlencode({"data": f"[{MIXPANEL}]", "verbose": "1", "ip": "0"}), FORM,
     (200, '{"status":1,"error":null}'), [MIXPANEL]),
    ("mixpanel, JSON", "/mixpanel/engage?verbose=1", '[{"$token":"t","$distinct_id":"u"}]', {},
     (200, '{"status":1,"error":null}'), ['{"$token":"t","$distinct_id":"u"}']),
    ("mixpanel, import", "/mixpanel/import?strict=1", f"[{MIXPANEL}]", {},
     (200, '{"code":200,"num_records_imported":1,"status":"OK"}'), [MIXPANEL]),
    ("mixpanel, import of lines", "/mixpanel/import", f"{MIXPANEL}\n\n{MIXPANEL} \n", NDJSON,
     (200, '{"code":200,"num_records_imported":2,"status":"OK"}'), [MIXPANEL]),
    ("ga4", "/ga4/mp/collect?measurement_id=G&api_secret=s",
     '{"client_id":"c","events":[{"name":"e","params":{}}]}', {}, (204, ""),
     ['{"name":"e","params":{}}']),
    ("ga4, only checked", "/ga4/debug/mp/collect", '{"client_id":"c","events":[{"name":"e"}]}', {},
     (200, '{"validationMessages":[]}'), []),
    ("otlp, no records", "/otlp_logs/v1/logs", b"", PROTOBUF, (200, b""), []),
    ("otlp, no records in JSON", "/otlp_logs/v1/logs", "{}", {}, (200, "{}"), []),
    ("syslog", "/syslog", b"%d %s\n%s" % (len(SYSLOG), SYSLOG, SYSLOG), {}, (200, "*"),
     [SYSLOG, SYSLOG]),
]  # fmt: skip


def as_bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def test_what_is_taken_is_answered_and_kept_byte_for_byte(store: Any):
    expected = []
    for what, target, body, headers, (status, answer), events in TAKEN:
        found = store.request(target, as_bytes(body), headers)
        assert found[0] == status, (what, found)
        assert answer == "*" or found[2] == as_bytes(answer), what
        expected += [(target.split("/")[1], as_bytes(event)) for event in events]
    found = [(event.tags["endpoint"].strip("/"), event.body) for event in store.events()]
    # Mixpanel's event comes six times under one $insert_id.
    unique = [one for place, one in enumerate(expected) if one[0] != "mixpanel"
              or one not in expected[:place]]  # fmt: skip
    assert sorted(found) == sorted(unique)
    assert list(store.reader.dead_letters()) == []


def test_amplitude_says_how_much_it_took(store: Any):
    body = f'{{"api_key":"k","events":[{AMPLITUDE}, {{"event_type":"f"}}]}}'
    status, _, answer = store.request("/amplitude/2/httpapi", body)
    said = json.loads(answer)
    assert (status, said["code"], said["events_ingested"]) == (200, 200, 2)
    assert said["payload_size_bytes"] == len(body)
    assert abs(said["server_upload_time"] - time.time() * 1000) < 60_000
    assert [one.body for one in store.events()] == [AMPLITUDE.encode(), b'{"event_type":"f"}']


READ: list[tuple[str, str, dict[str, Any], dict[str, str]]] = [
    (
        "/segment/v1/batch",
        "segment",
        {
            "context": {"userAgent": CHROME},
            "sentAt": NOW_MS - 3_600_000,
            "batch": [{"event": "named", "timestamp": NOW_MS - 3_605_000}],
        },
        {},
    ),
    (
        TP2,
        "snowplow",
        {
            "schema": PAYLOAD_DATA,
            "data": [
                {
                    "e": "named",
                    "ua": CHROME,
                    "dtm": str(NOW_MS - 3_605_000),
                    "stm": str(NOW_MS - 3_600_000),
                }
            ],
        },
        {},
    ),
    (
        "/posthog/batch/",
        "posthog",
        {
            "sent_at": NOW_MS - 3_600_000,
            "batch": [
                {
                    "event": "named",
                    "timestamp": NOW_MS - 3_605_000,
                    "properties": {"$raw_user_agent": CHROME},
                }
            ],
        },
        {},
    ),
    (
        "/mixpanel/track",
        "mixpanel",
        {"event": "named", "properties": {"time": NOW_MS - 5000}},
        {"User-Agent": CHROME},
    ),
    (
        "/amplitude/batch",
        "amplitude",
        {"events": [{"event_type": "named", "time": NOW_MS - 5000, "user_agent": CHROME}]},
        {},
    ),
    (
        "/ga4/mp/collect",
        "ga4",
        {
            "client_id": "c",
            "user_agent": CHROME,
            "timestamp_micros": str((NOW_MS - 5000) * 1000),
            "events": [{"name": "named"}],
        },
        {},
    ),
    (
        "/otlp_logs/v1/logs",
        "otlp_logs",
        {
            "resourceLogs": [
                {
                    "resource": {
                        "attributes": [
                            {"key": "user_agent.original", "value": {"stringValue": CHROME}}
                        ]
                    },
                    "scopeLogs": [
                        {
                            "logRecords": [
                                {
                                    "timeUnixNano": str((NOW_MS - 5000) * 1_000_000),
                                    "severityText": "named",
                                }
                            ]
                        }
                    ],
                }
            ]
        },
        {},
    ),
]


def test_name_time_and_user_agent_are_read_of_each(shared_store: Any):
    for target, _, body, headers in READ:
        assert shared_store.request(target, body, headers)[0] in (200, 204)
    found = {event.tags["endpoint"]: event for event in shared_store.events()}
    for _, name, _, _ in READ:
        event = found[f"/{name}"]
        one = shared_store.found(event)
        assert (one["name"], one["browser"]) == ("named", "Chrome 126"), name
        # Where the sender says when it sent, its clock is put right: this one is an hour slow.
        sent_at_is_known = name in ("segment", "snowplow", "posthog")
        assert one["time_ms"] == (event.received_at_ms if sent_at_is_known else NOW_MS) - 5000, name


HOUR_MS = 3_600_000
ISO = iso_time(NOW_MS - 5000)
# A request, and how long before its receipt its event happened; None: as long as since NOW_MS, and
# five seconds. Whoever says when it sent has a clock that is an hour slow.
SENT, THEN = NOW_MS - HOUR_MS, NOW_MS - HOUR_MS - 5000
TIMES: list[tuple[str, Any, int | None]] = [
    ("/posthog/e/", [{"event": "e", "offset": 5000}], 5000),
    ("/posthog/e/", [{"event": "e", "offset": 5000.4, "timestamp": ISO}], None),
    ("/posthog/batch/", {"sent_at": SENT, "batch": [{"offset": 5000}]}, 5000),
    ("/posthog/e/", [{"event": "e", "offset": -5000}], 0),
    ("/posthog/e/", [{"event": "e", "offset": 10**30}, {"event": "e", "offset": "5"}], 0),
    ("/posthog/e/", [{"event": "e", "offset": 400 * 86_400_000}], 0),
    (f"/posthog/e/?_={SENT}&ver=1", [{"timestamp": THEN}], 5000),
    (f"/posthog/e/?sent_at={SENT}", {"event": "e", "timestamp": THEN}, 5000),
    ("/posthog/e/", [{"timestamp": THEN, "sent_at": SENT}], 5000),
    (f"/snowplow/i?e=pv&dtm=1&ttm={THEN}&stm={SENT}", b"", 5000),
    ("/segment/v1/track", {"originalTimestamp": THEN,
     "sentAt": SENT}, 5000),
    ("/segment/v1/track", {"timestamp": ISO, "originalTimestamp": 1}, None),
    ("/mixpanel/track", {"event": "e", "properties": {"time": (NOW_MS - 5000) / 1000}}, None),
    ("/mixpanel/track", {"event": "e", "properties": {"time": NOW_MS - 5000}}, None),
    ("/amplitude/batch", {"client_upload_time": ISO, "events": [{"time": NOW_MS - 10_000}]}, 5000),
    ("/ga4/mp/collect", {"client_id": "c", "timestamp_micros": 1,
     "events": [{"name": "e", "timestamp_micros": (NOW_MS - 5000) * 1000}]}, None),
]  # fmt: skip


def test_times_are_read_as_each_protocol_states_them(store: Any):
    asked = {}
    for number, (target, body, _) in enumerate(TIMES):
        method = "GET" if body == b"" else "POST"
        status, headers, _ = store.request(target, body, method=method)
        assert status in (200, 204), target
        asked[headers["x-event-receipt"].partition(":")[0]] = number
    for event in store.events():
        target, _, ago_ms = TIMES[asked[str(event.id.pack)]]
        time_ms = NOW_MS - 5000 if ago_ms is None else event.received_at_ms - ago_ms
        assert store.found(event)["time_ms"] == time_ms, (target, event.body)
    assert len(store.events()) == len(TIMES) + 1


def test_a_retry_that_states_another_offset_is_a_retry(store: Any):
    for offset_ms in (10, 90_000):
        body = [{"event": "e", "uuid": "u-1", "offset": offset_ms}]
        assert store.request("/posthog/e/", body)[0] == 200
    (event,) = store.events()
    assert store.found(event)["time_ms"] == event.received_at_ms - 10


# Overload and the size of a body are refused alike for all: what differs is how it is said.
def test_full_is_said_in_each_protocols_words(new_store: Callable[..., Any]):
    store = new_store(processor=False, queue_packs_max=1, body_bytes_max=2000)
    assert store.request("/syslog", SYSLOG)[0] == 200
    full: dict[str, tuple[int, dict[str, str], Any]] = {}
    large: dict[str, tuple[int, Any]] = {}
    bodies = {target: json.dumps(body) for target, _, body, _ in READ}
    bodies["/mixpanel/import"] = f"[{MIXPANEL}]"
    for target, body in bodies.items():
        status, headers, answer = store.request(target, body)
        full[target] = (status, headers, json.loads(answer))
        status, _, answer = store.request(target, body[:1] + " " * 2000 + body[1:])
        large[target] = (status, json.loads(answer or b"null"))
    assert all(one[1]["retry-after"] == "1" for one in full.values())
    assert {target: one[0] for target, one in full.items()} == {
        "/segment/v1/batch": 429,
        TP2: 429,
        "/posthog/batch/": 503,
        "/mixpanel/track": 503,
        "/mixpanel/import": 503,
        "/amplitude/batch": 429,
        "/ga4/mp/collect": 429,
        "/otlp_logs/v1/logs": 503,
    }
    assert full["/segment/v1/batch"][2].keys() == {"code", "message"}
    assert full["/posthog/batch/"][2]["type"] == "server_error"
    assert full["/mixpanel/track"][2]["status"] == 0
    assert full["/mixpanel/import"][2]["status"] == "Service Unavailable"
    assert full["/amplitude/batch"][2]["throttled_events"] == []
    assert full["/otlp_logs/v1/logs"][2]["code"] == 14
    assert {target: one[0] for target, one in large.items()} == {
        "/segment/v1/batch": 413,
        TP2: 422,
        "/posthog/batch/": 413,
        "/mixpanel/track": 413,
        "/mixpanel/import": 413,
        "/amplitude/batch": 413,
        "/ga4/mp/collect": 204,
        "/otlp_logs/v1/logs": 413,
    }
    status, headers, answer = store.request(
        "/otlp_logs/v1/logs", otlp(record()).SerializeToString(), PROTOBUF
    )
    assert (status, Status.FromString(answer).code) == (503, 14)
    assert headers["content-type"] == "application/x-protobuf"


def basic(user: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:".encode()).decode()}


def keyed(key: str) -> list[tuple[str, Any, dict[str, str]]]:
    """A request for each place where a key may be."""
    event = {"event": "e", "properties": {"token": key}}
    zipped = gzip.compress(json.dumps([event]).encode())
    return [
        ("/segment/v1/batch", {"batch": [{"type": "page"}]}, basic(key)),
        ("/segment/v1/batch", {"batch": [{"type": "page"}], "writeKey": key}, {}),
        ("/segment/v1/track", {"event": "e", "writeKey": key}, {}),
        ("/posthog/batch/", {"batch": [{"event": "e"}], "api_key": key}, {}),
        ("/posthog/e/", {"event": "e", "token": key}, {}),
        ("/posthog/e/", [event], {}),
        ("/posthog/e/", zipped, {}),
        (
            "/posthog/i/v1/analytics/events",
            {"batch": [{"event": "e"}]},
            {"Authorization": f"Bearer {key}"},
        ),
        ("/mixpanel/track", event, {}),
        ("/mixpanel/track", "data=" + quote(json.dumps([event])), FORM),
        ("/mixpanel/engage", [{"$token": key}], {}),
        ("/mixpanel/import", [{"event": "e"}], basic(key)),
        ("/amplitude/2/httpapi", {"events": [{"event_type": "e"}], "api_key": key}, {}),
        (f"/ga4/mp/collect?api_secret={key}", {"client_id": "c", "events": [{"name": "e"}]}, {}),
        (
            "/otlp_logs/v1/logs",
            otlp(record()).SerializeToString(),
            {**PROTOBUF, "Authorization": f"Bearer {key}"},
        ),
        ("/syslog", SYSLOG, {"X-Api-Key": key}),
    ]


def test_keys_are_looked_for_where_clients_put_them(new_store: Callable[..., Any]):
    store = new_store(endpoint={"keys": ["right"]})
    for target, body, headers in keyed("right"):
        assert store.request(target, body, headers)[0] in (200, 204), target
    for target, body, headers in keyed("wrong"):
        status = store.request(target, body, headers)[0]
        assert status == (204 if target.startswith("/ga4") else 401), target
    assert len(store.events()) == len(keyed("right"))


def test_one_bad_event_leaves_the_others(store: Any):
    deep = '{"a":' * 70 + "1" + "}" * 70
    targets = {
        "/segment/v1/batch": '{"batch":[%s,{"n":1},%s]}',
        TP2: f'{{"schema":"{PAYLOAD_DATA}","data":[%s,{{"n":1}},%s]}}',
        "/posthog/batch/": '{"batch":[%s,{"n":1},%s]}',
        "/mixpanel/track": '[%s,{"n":1},%s]',
        "/ga4/mp/collect": '{"client_id":"c","events":[%s,{"n":1},%s]}',
    }
    for target, body in targets.items():
        assert store.request(target, body % ("[7]", deep))[0] in (200, 204), target
        assert store.request(target, body % ("null", '"x"'))[0] in (200, 204), target
    for body, headers in (('[7,{"n":1}]', {}), ('[{"n":1}]\n{"n":1}\n', NDJSON)):
        status, _, answer = store.request("/mixpanel/import", body, headers)
        said = json.loads(answer)
        assert (status, said["num_records_imported"]) == (400, 1)
        assert [one["index"] for one in said["failed_records"]] == [0]
    assert {one.body for one in store.events()} == {b'{"n":1}'}
    letters = [one.body for one in store.reader.dead_letters()]
    assert sorted(letters) == sorted(
        [b"[7]", deep.encode(), b"null", b'"x"'] * 5 + [b"7", b'[{"n":1}]']
    )


def after(answer: dict[str, Any], events: list[Any]) -> list[Any]:
    """What Amplitude's own clients send again after an answer of 4xx."""
    if answer["missing_field"] or answer["error"].startswith("Invalid API key"):
        return []
    named = {*chain(*answer["events_with_invalid_fields"].values())}
    return [event for index, event in enumerate(events) if index not in named]


def test_amplitude_names_bad_events_and_takes_the_others_once_they_are_sent_again(store: Any):
    deep: Any = json.loads('{"a":' * 70 + "1" + "}" * 70)
    events = [{"n": 1}, [7], {"n": 2}, deep, None]
    status, headers, answer = store.request("/amplitude/batch", {"events": events})
    said = json.loads(answer)
    assert (status, said["code"]) == (400, 400)
    assert said["events_with_invalid_fields"] == {"event": [1, 3, 4]}
    assert headers["x-event-receipt"].endswith(":0-2")
    assert store.events() == []
    status, _, answer = store.request("/amplitude/batch", {"events": after(said, events)})
    assert (status, json.loads(answer)["events_ingested"]) == (200, 2)
    assert [json.loads(one.body) for one in store.events()] == [{"n": 1}, {"n": 2}]
    letters = {one.index: json.loads(one.body) for one in store.reader.dead_letters()}
    assert letters == {0: [7], 1: deep, 2: None}


def test_amplitudes_clients_give_up_what_can_never_be_taken(new_store: Callable[..., Any]):
    store = new_store(processor=False, endpoint={"keys": ["right"]})
    for key, body in (
        ("wrong", '{"api_key":"wrong","events":[{}]}'),
        ("right", '{"api_key":"right","events":[7]}'),
        ("right", '{"api_key":"right","events":{}}'),
        ("right", '{"api_key":"right","events":[{}],"options":%s}' % ("[" * 99 + "]" * 99)),
        ("", "{"),
    ):
        status, _, answer = store.request("/amplitude/batch", body)
        assert status == (400 if key == "right" else 401)
        assert after(json.loads(answer), [7]) == [], body


def test_ga4_says_what_is_wrong_only_when_it_is_asked(shared_store: Any):
    wrong = {"events": [{"name": "1st"}, {"name": "ok", "params": 7}, 7, *[{"name": "e"}] * 23]}
    assert shared_store.request("/ga4/mp/collect", wrong)[::2] == (204, b"")
    status, _, answer = shared_store.request("/ga4/debug/mp/collect", wrong)
    found = [(one["fieldPath"], one["validationCode"])
             for one in json.loads(answer)["validationMessages"]]  # fmt: skip
    assert (status, found) == (
        200,
        [
            ("client_id", "VALUE_REQUIRED"),
            ("events", "EXCEEDED_MAX_ENTITIES"),
            ("events[0].name", "NAME_INVALID"),
            ("events[1].params", "VALUE_INVALID"),
            ("events[2]", "VALUE_INVALID"),
        ],
    )
    large = {"client_id": "c" * 130_000, "events": [{"name": "e"}]}
    assert shared_store.request("/ga4/mp/collect", large)[0] == 204
    assert b"130000" in shared_store.request("/ga4/debug/mp/collect", large)[2]
    assert shared_store.events() == []
