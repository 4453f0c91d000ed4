"""CORS: browsers of the listed origins may read answers and refusals; others are told nothing."""

from collections.abc import Callable
from typing import Any

import pytest

from eventstore.collector import cors
from eventstore.errors import SettingsError
from eventstore.formats import FORMATS, methods_of, paths_of
from eventstore.settings import from_dict
from tests.eventstore.exchange import Answer, send

SHOP, OTHER = "https://shop.example", "https://other.example"
ALL_FORMATS = ["by_content_type", *FORMATS]
ASKED = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "content-type, x-api-key",
}


@pytest.fixture(scope="module")
def port(new_shared_node: Callable[..., Any]) -> int:
    endpoints: list[dict[str, Any]] = [
        {"path": f"/{name}", "format": name, "origins": [SHOP, "http://localhost:3000"]}
        for name in ALL_FORMATS
    ]
    endpoints += [{"path": "/every", "origins": ["*"]}, {"path": "/none"}]
    node = new_shared_node(endpoints=endpoints)
    node.start("collector")
    return int(node.port("collector"))


def allowed(answer: Answer) -> dict[str, str]:
    """The CORS headers of an answer."""
    return {
        name.removeprefix("access-control-"): text
        for name, text in answer.headers.items()
        if name.startswith("access-control-")
    }


ECHO = {
    "allow-origin": SHOP,
    "allow-credentials": "true",
    "expose-headers": "Retry-After, X-Event-Receipt",
}


@pytest.mark.parametrize("name", ALL_FORMATS)
def test_preflights_are_answered_on_every_path_of_every_format(port: int, name: str):
    methods = ", ".join(methods_of(name))
    for below in paths_of(name):
        answer = send(port, f"/{name}{below}", headers={"Origin": SHOP, **ASKED}, method="OPTIONS")
        assert (answer.status, answer.body, answer.headers["vary"]) == (204, b"", "Origin")
        assert allowed(answer) == {
            **ECHO,
            "allow-methods": methods,
            "allow-headers": "content-type, x-api-key",
            "max-age": "7200",
        }
        stranger = send(
            port, f"/{name}{below}", headers={"Origin": OTHER, **ASKED}, method="OPTIONS"
        )
        assert (stranger.status, allowed(stranger)) == (204, {})
        assert stranger.headers["vary"] == "Origin"


# What these protocols' clients understand: one never sends again after 422, one hears only success.
NOT_TAKEN = {"snowplow": 422, "ga4": 204, "ga4/debug/mp/collect": 200}


@pytest.mark.parametrize("name", ALL_FORMATS)
def test_refusals_can_be_read_by_the_listed_origins_only(port: int, name: str):
    for below in paths_of(name):
        for origin, expected in ((SHOP, ECHO), (OTHER, {}), (f"{SHOP}/", {}), (SHOP.upper(), {})):
            answer = send(port, f"/{name}{below}", b"", {"Origin": origin}, method="PUT")
            status = NOT_TAKEN.get(name + below, NOT_TAKEN.get(name, 405))
            assert (answer.status, allowed(answer)) == (status, expected)
            assert answer.headers["vary"] == "Origin"


def test_answers_can_be_read_by_the_listed_origins_only(port: int):
    json = {"Content-Type": "application/json"}
    for path, origin, expected in [
        ("/json", SHOP, ECHO),
        ("/json", OTHER, {}),
        ("/every", OTHER, {**ECHO, "allow-origin": OTHER}),
        ("/every", "null", {**ECHO, "allow-origin": "null"}),
        ("/none", SHOP, {}),
    ]:
        answer = send(port, path, b"{}", {"Origin": origin, **json})
        assert (answer.status, allowed(answer)) == (200, expected), (path, origin)
        assert ("vary" in answer.headers) == (path != "/none")
    assert allowed(send(port, "/json", b"{}", json)) == {}
    assert send(port, "/none", headers={"Origin": SHOP, **ASKED}, method="OPTIONS").status == 405
    image = send(port, "/pixel?a=1", headers={"Origin": SHOP}, method="GET")
    assert (image.status, allowed(image)) == (200, ECHO)


def test_what_could_break_a_header_is_not_echoed():
    for origin in ("", "a b", "\udcff", "ü", "x" * 301, "a\r\nb"):
        assert cors.headers_for(["*"], {"Origin": origin}) == {"Vary": "Origin"}
    for names in ("a b", "a\nb", "a,,b", "ü", "", "x" * 1001):
        asked = {"Origin": SHOP, "Access-Control-Request-Headers": names}
        assert "Access-Control-Allow-Headers" not in cors.preflight([SHOP], ["POST"], asked)


@pytest.mark.parametrize(
    "origin", ["shop.example", "https://shop.example/", "https://", "HTTPS://A"]
)
def test_origins_that_no_browser_sends_are_refused_in_the_settings(origin: str):
    with pytest.raises(SettingsError, match=r"origins: .*expected https://host"):
        from_dict({"endpoints": [{"path": "/a", "origins": [origin]}]})
