"""What Snowplow's trackers need beside an answer: an image, a visitor's cookie, leave for pages."""

from collections.abc import Callable
from typing import Any

from tests.eventstore.clients.client_requests import PAYLOAD_DATA, TP2


def test_snowplow_by_get_is_an_image_and_a_visitor_is_known_again(shared_store: Any):
    query = "e=se&eid=7f7d&dtm=1795629600123&p=web&url=https%3A%2F%2Fa.example%2F%3Fx%3D%C3%A4"
    status, headers, body = shared_store.request(f"/snowplow/i?{query}", method="GET")
    assert (status, headers["content-type"], len(body)) == (200, "image/gif", 42)
    assert body.startswith(b"GIF89a")
    cookie = headers["set-cookie"]
    assert "SameSite=None; Secure" in cookie
    visitor = cookie.partition(";")[0]
    again = shared_store.request(f"/snowplow/i?{query}", method="GET")[1]["set-cookie"]
    assert again == cookie  # a retry makes no second visitor
    known = shared_store.request(
        "/snowplow/i?e=pv&eid=2", headers={"Cookie": f"a=b; {visitor}"}, method="GET"
    )
    assert known[1]["set-cookie"] == cookie
    other = shared_store.request(
        "/snowplow/i?e=pv&eid=3", headers={"Cookie": "sp=<x>"}, method="GET"
    )
    assert other[1]["set-cookie"] != cookie
    nobody = shared_store.request(
        "/snowplow/i?e=pv&eid=4", headers={"SP-Anonymous": "*"}, method="GET"
    )
    assert "set-cookie" not in nobody[1]
    assert shared_store.request("/snowplow/i?x=y", method="GET")[0] == 400
    events = shared_store.events()
    assert events[0].body == query.encode()
    assert len(events) == 4
    assert shared_store.found(events[0])["name"] == "struct"


def test_head_of_snowplows_image_keeps_nothing(shared_store: Any):
    status, headers, body = shared_store.request("/snowplow/i?e=pv&eid=h1", method="HEAD")
    assert (status, headers["content-type"], body) == (200, "image/gif", b"")
    assert "x-event-receipt" not in headers
    assert shared_store.events() == []


def test_snowplow_knows_a_visitor_among_cookies_of_any_kind(shared_store: Any):
    """What else a domain keeps there is JSON, dates, or nothing sensible."""
    visitor = "c0a2dfbb-eb6b-5f3d-a4f6-792f9393cbd8"
    for number, cookies in enumerate(
        (
            f"sp={visitor}",
            f'consent={{"a":1,"b":[2]}}; sp={visitor}; x[0]=1',
            f"since=Fri Nov 27 2026 10:00:00 GMT+0100 (CET);sp={visitor}",
            f"alone; =; _sp=1; sp={visitor} ",
            f'sp="{visitor}"',
        )
    ):
        target = f"/snowplow/i?e=pv&eid=cookie-{number}"
        headers = shared_store.request(target, headers={"Cookie": cookies}, method="GET")[1]
        assert headers["set-cookie"].startswith(f"sp={visitor};"), cookies


def test_snowplow_keeps_no_address_of_who_is_anonymous(shared_store: Any):
    for headers in ({"SP-Anonymous": "*"}, {}):
        body = {"schema": PAYLOAD_DATA, "data": [{"e": "pv", "eid": f"post-{len(headers)}"}]}
        assert shared_store.request(TP2, body, headers)[0] == 200
        target = f"/snowplow/i?e=pv&eid=get-{len(headers)}"
        assert shared_store.request(target, headers=headers, method="GET")[0] == 200
    ids = {event.id for event in shared_store.events()}
    assert {
        envelope["client_id"]: envelope["address"]
        for event, envelope in shared_store.reader.enveloped()
        if event.id in ids
    } == {"post-1": None, "get-1": None, "post-0": "127.0.0.1", "get-0": "127.0.0.1"}


def test_pages_of_named_origins_may_send_with_their_cookies(new_store: Callable[..., Any]):
    store = new_store(processor=False, endpoint={"origins": ["https://shop.example"]})
    asked = {
        "Origin": "https://shop.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,sp-anonymous",
    }
    status, headers, _ = store.request(TP2, b"", asked, "OPTIONS")
    assert status in (200, 204)
    assert headers["access-control-allow-origin"] == "https://shop.example"
    assert headers["access-control-allow-credentials"] == "true"
    assert "sp-anonymous" in headers["access-control-allow-headers"].lower()
    assert "POST" in headers["access-control-allow-methods"]
    for body in (
        {"schema": PAYLOAD_DATA, "data": [{"e": "pv", "eid": "1"}]},
        {},
    ):  # an answer that can't be read would be sent again for ever
        headers = store.request(TP2, body, asked)[1]
        assert headers["access-control-allow-origin"] == "https://shop.example"
        assert headers["access-control-allow-credentials"] == "true"
    stranger = store.request(TP2, b"", {**asked, "Origin": "https://evil.example"}, "OPTIONS")
    assert "access-control-allow-origin" not in stranger[1]
