"""Credentials: signed webhooks and write keys; what is wrong is 401, and no secret is ever said."""

import gzip
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from eventstore.collector.signatures import STRIPE_TOLERANCE_S, verify
from eventstore.endpoints import Signature
from eventstore.errors import Refused, SettingsError
from eventstore.query.read import open_reader
from eventstore.settings import from_dict
from tests.eventstore.exchange import send

NewNode = Callable[..., Any]
SECRET = "It's a Secret to Everybody"
BODY = b"Hello, World!"
# The example of GitHub's own documentation.
DIGEST = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
NOW_S = 1795530600.0


def digest(message: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def stripe(body: bytes, at_s: float = NOW_S, secret: str = SECRET) -> str:
    return f"t={int(at_s)},v1={digest(b'%d.%b' % (at_s, body), secret)}"


def refused(scheme: str, headers: dict[str, str], body: bytes = BODY, now_s: float = NOW_S) -> str:
    with pytest.raises(Refused) as caught:
        verify(Signature(scheme, SECRET), headers, body, now_s)
    assert (caught.value.status, caught.value.code) == (401, "wrong_signature")
    assert SECRET not in repr(caught.value.to_json())
    return caught.value.reason


def test_github():
    def header(value: str) -> dict[str, str]:
        return {"X-Hub-Signature-256": value}

    verify(Signature("github", SECRET), header(f"sha256={DIGEST}"), BODY, NOW_S)
    assert "missing" in refused("github", {"X-Hub-Signature": f"sha1={DIGEST}"})
    assert "sha256=" in refused("github", header(DIGEST))
    for wrong in ("", DIGEST[:-1], DIGEST + "0", "0" * 64, "ü", "\udcff"):
        refused("github", header(f"sha256={wrong}"))
    refused("github", header(f"sha256={DIGEST}"), BODY + b" ")


def test_stripe():
    def header(value: str) -> dict[str, str]:
        return {"Stripe-Signature": value}

    good = stripe(BODY)
    for value in (good, good + ",v0=6ffbb59b", good.replace(",", f",v1={'0' * 64}, ")):
        verify(Signature("stripe", SECRET), header(value), BODY, NOW_S)
    for now_s in (NOW_S + STRIPE_TOLERANCE_S, NOW_S - STRIPE_TOLERANCE_S):
        verify(Signature("stripe", SECRET), header(good), BODY, now_s)
    for now_s in (NOW_S + STRIPE_TOLERANCE_S + 1, NOW_S - STRIPE_TOLERANCE_S - 1):
        assert "300 s" in refused("stripe", header(good), now_s=now_s)
    later = good.replace(f"t={int(NOW_S)}", f"t={int(NOW_S) + 1}")
    assert "not the body's" in refused("stripe", header(later), now_s=NOW_S)
    assert "not the body's" in refused("stripe", header(later), now_s=0)  # nothing of its time
    for value in ("", "t=", "t=x,v1=y", "t=٣,v1=y", "t=" + "9" * 5000, "v1=" + DIGEST):
        assert "no t=" in refused("stripe", header(value))
    refused("stripe", header(f"t={int(NOW_S)}"))
    refused("stripe", header(good.replace("v1", "v0")))


def test_hmac():
    own = Signature("hmac", SECRET, "X-Shop-Hmac")
    for value in (DIGEST, f"sha256={DIGEST}", DIGEST.upper(), f" {DIGEST} "):
        verify(own, {"X-Shop-Hmac": value}, BODY, NOW_S)
    assert "X-Signature-256 is missing" in refused("hmac", {"X-Shop-Hmac": DIGEST})
    refused("hmac", {"X-Signature-256": f"sha512={DIGEST}"})


ENDPOINTS = [
    {
        "path": "/github",
        "format": "github",
        "signature": {"scheme": "github", "secret": SECRET},
    },
    {
        "path": "/stripe",
        "format": "stripe",
        "signature": {"scheme": "stripe", "secret": SECRET},
    },
    {"path": "/hmac", "signature": {"scheme": "hmac", "secret": SECRET, "header": "X-Mac"}},
    {"path": "/keys", "keys": ["wk_old", "wk_new"]},
    {"path": "/p.gif", "format": "pixel", "keys": ["wk_old", "wk_new"]},
]
DELIVERY = {
    "Content-Type": "application/json",
    "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
    "X-GitHub-Event": "push",
}


def test_only_signed_bodies_are_taken_and_a_redelivery_is_seen_once(new_node: NewNode, until: Any):
    node = new_node(endpoints=ENDPOINTS)
    collector, _ = node.start("collector"), node.start("processor")
    port = node.port("collector")
    body = b'{"sender":{"login":"mona"}}'
    signed = {**DELIVERY, "X-Hub-Signature-256": f"sha256={digest(body)}"}
    for _ in range(2):
        assert send(port, "/github", body, signed).status == 200
    assert send(port, "/github", body + b" ", signed).code == "wrong_signature"
    assert send(port, "/github", b"{", DELIVERY).code == "wrong_signature"
    now_s = time.time()
    charge = json.dumps({"id": "evt_1", "type": "charge", "created": int(now_s)}, indent=2).encode()
    for at_s in (now_s, now_s - 10):  # Stripe signs each attempt anew
        answer = send(
            port, "/stripe", charge, {**DELIVERY, "Stripe-Signature": stripe(charge, at_s)}
        )
        assert answer.status == 200
    stale = {**DELIVERY, "Stripe-Signature": stripe(charge, now_s - 3600)}
    assert send(port, "/stripe", charge, stale).status == 401
    packed = gzip.compress(b'{"id":"h"}')  # what is signed is what is sent
    headers = {**DELIVERY, "Content-Encoding": "gzip"}
    assert send(port, "/hmac", packed, {**headers, "X-Mac": digest(packed)}).status == 200
    assert send(port, "/hmac", packed, {**headers, "X-Mac": digest(b'{"id":"h"}')}).status == 401
    bomb = gzip.compress(bytes(100 << 20))
    assert send(port, "/hmac", bomb, {**headers, "X-Mac": "0"}).status == 401  # never unpacked
    reader = open_reader(node.data)
    until(lambda: reader.pending().packs == 0)
    events = list(reader.events())
    assert [event.body for event in events] == [body, charge, b'{"id":"h"}']
    assert reader.enrichment(events[1].id)["time_ms"] == int(now_s) * 1000
    reader.close()
    assert SECRET not in collector.log.read_text()


def test_write_keys_are_taken_where_clients_put_them(new_node: NewNode):
    node = new_node(endpoints=ENDPOINTS)
    collector = node.start("collector")
    port = node.port("collector")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for path, headers, method in [
        ("/keys", {"Authorization": "Bearer wk_old"}, "POST"),
        ("/keys", {"X-Api-Key": "wk_new"}, "POST"),
        ("/keys?write_key=wk_new", {}, "POST"),
        ("/p.gif?a=1&write_key=wk_old", {}, "GET"),
    ]:
        answer = send(port, path, b"a=1", {**form, **headers}, method=method)
        assert answer.status == 200, (path, headers)
    for path, headers in [
        ("/keys", {}),
        ("/keys", {"Authorization": "Bearer wk_other"}),
        ("/keys", {"Authorization": "Basic wk_old"}),
        ("/keys?write_key=", {}),
        ("/keys?write_key=wk_ol", {}),
        ("/keys?wk_old", {}),
    ]:
        answer = send(port, path, b"a=1", {**form, **headers})
        assert (answer.status, answer.code) == (401, "wrong_key"), (path, headers)
    answer = send(port, "/p.gif?a=1", method="GET")
    assert (answer.status, answer.headers["content-type"]) == (401, "image/gif")
    assert "wk_" not in collector.log.read_text()


def test_secrets_and_keys_are_in_no_text_about_the_settings():
    settings = from_dict({"endpoints": ENDPOINTS})
    assert SECRET not in repr(settings)
    assert "wk_" not in repr(settings)
    for wrong in (
        {"scheme": SECRET, "secret": "github"},
        {"scheme": "github", "secret": SECRET, "heder": "x"},
        {"secret": SECRET},
    ):
        with pytest.raises(SettingsError) as caught:
            from_dict({"endpoints": [{"path": "/a", "signature": wrong}]})
        assert SECRET not in str(caught.value)
