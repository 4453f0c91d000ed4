"""Each built-in enrichment: what it finds out, what it refuses at start."""

import http.client
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from crawlerdetect import CrawlerDetect
from hypothesis import given
from hypothesis import strategies as st
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from eventstore import engines, packing
from eventstore.address import masked
from eventstore.errors import SettingsError
from eventstore.event import new_pack_id
from eventstore.ports import DeadLetter, Enriched
from eventstore.processing import sidecar
from eventstore.processing.enrich import Rules, enrich
from eventstore.processing.enrichments import ENRICHMENTS
from eventstore.processing.enrichments.bots import _rules, bot
from eventstore.processing.enrichments.campaign import NAMES, parsed
from eventstore.processing.enrichments.referrer import came_from
from eventstore.processing.enrichments.url import host_and_path
from eventstore.settings import Settings, from_dict

DOCS = Path(__file__).parent.parent.parent / "docs"
NOW_MS = 1795530600_000
PHONE = (
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/126.0.0.0 Mobile Safari/537.36"
)
SPIDER = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
Step = str | dict[str, Any]


def enriched(
    events: list[dict[str, Any]], *steps: Step, agent: str = PHONE, address: str = "192.0.2.77"
) -> Enriched:
    """Events of one request, after these steps."""
    pack_id = new_pack_id()
    share = packing.Share(len(events), NOW_MS, user_agent=agent, address=address)
    lines = b"\n".join(json.dumps(event).encode() for event in events)
    tags = {"endpoint": "/v1/events", "source": "web"}
    body = packing.pack(pack_id, tags, [share], [lines], None)
    return enrich(pack_id, body, Rules.of(from_dict({"enrichments": list(steps)})))


def columns(*arguments: Any, **shared: str) -> dict[str, list[Any]]:
    return sidecar.decode(enriched(*arguments, **shared).sidecar)


def of_one(event: dict[str, Any], *steps: Step, **shared: str) -> dict[str, Any]:
    return {name: value for name, (value,) in columns([event], *steps, **shared).items()}


def test_every_enrichment_is_documented_with_its_columns():
    text = (DOCS / "enrichments.md").read_text()
    assert [name for name in ENRICHMENTS if f"### {name}\n" not in text] == []
    event = {"user": "u", "url": "https://a.example/", "referrer": "https://b.example/"}
    added = of_one(event, *Settings().enrichments)
    documented = {"time_ms", "name"} | {name for name in added if f"`{name}`" in text}
    assert set(added) == documented


def test_fields_of_any_type_are_texts_or_nothing():
    odd: list[Any] = [None, 7, 7.5, True, ["a"], {"a": 1}, "", "x" * 5000]
    events = [{"type": one, "url": one, "referrer": one, "user": one, "ip": one} for one in odd]
    found = enriched([*events, {}], *Settings().enrichments, "anonymise_ip")
    assert len(set(found.names)) == len(found.names)
    assert sidecar.decode(found.sidecar)["name"] == [""] * 7 + ["x" * 512, ""]


def test_bots():
    assert of_one({"user_agent": SPIDER}, "bots")["bot"] == "Googlebot"
    assert of_one({}, "bots", agent="curl/8.5.0")["bot"] == "curl"
    assert of_one({}, "bots")["bot"] == ""
    assert of_one({}, "bots", agent="")["bot"] == ""


AGENTS = [
    *("Mozilla/5.0 ", "(compatible; ", "Linux; ", "Android 14; ", "cubot", "; M bot", "KHTML, "),
    *(
        "Googlebot/2.1",
        "BINGBOT",
        "my-spider_2",
        "xx-crawl-bot-",
        "Yandex",
        "YandexSearch",
        "java/",
    ),
    *("Java/17", "outbrain", "Ruby/3", "Fetch/1", "Sitemap Generator", "Y!J-ABC", "curl", "b0t"),
    *("DebugBear", "^", "@", "é", "\u017f", " ", "/", ";", "x", "-", "http:", "//", "9", "."),
]


@given(st.lists(st.sampled_from(AGENTS) | st.text(max_size=5), max_size=12).map("".join))
def test_bots_are_those_of_the_project(agent: str):
    theirs = CrawlerDetect()
    known = theirs.is_crawler(agent[:400].encode("ascii", "replace").decode())
    assert bot(agent) == (theirs.get_matches() if known else "")


def test_every_rule_of_the_project_knows_what_it_says():
    rules = _rules()
    assert len(rules.plain) > 1000
    for _, text in rules.plain:
        theirs = CrawlerDetect()
        theirs.is_crawler(text)
        assert bot(text) == (theirs.get_matches() or "")


@pytest.mark.parametrize(
    ("url", "host", "path"),
    [
        ("https://Shop.example/p/1", "shop.example", "/p/1"),
        ("https://user:secret@shop.example:8443/a/b", "shop.example", "/a/b"),
        ("http://[2001:db8::1]:80/x", "[2001:db8::1]", "/x"),
        ("//cdn.example/x", "cdn.example", "/x"),
        ("https://shop.example", "shop.example", ""),
        ("https://shop.example#top", "shop.example", ""),
        ("/only/a/path#top", "", "/only/a/path"),
        ("/a//b", "", "/a//b"),
        ("android-app://com.example.app/x", "com.example.app", "/x"),
        ("mailto:a@b.example", "", ""),
        ("words", "", ""),
        ("", "", ""),
    ],
)
def test_hosts_and_paths(url: str, host: str, path: str):
    assert host_and_path(url.encode()) == (host, path)


def test_urls_are_cut_before_their_query():
    pages = ["https://shop.example/p?q=1", "https://shop.example/p?q=2", "https://a.example/?x", 7]
    found = columns([{"url": page} for page in pages], "url")
    assert found["url_host"] == ["shop.example", "shop.example", "a.example", ""]
    assert found["url_path"] == ["/p", "/p", "/", ""]


def test_campaigns():
    url = (
        "https://shop.example/?q=1&utm_source=news%20letter&utm_medium=e+mail&utm_campaign=spring"
        "&utm_term=%C3%BC&utm_content=b&utm_source=second&gclid=XyZ#utm_source=no"
    )
    found = of_one({"url": url}, "campaign")
    assert {name: found[name] for name in found if name not in ("time_ms", "name")} == {
        "campaign_source": "news letter",
        "campaign_medium": "e mail",
        "campaign": "spring",
        "campaign_term": "ü",
        "campaign_content": "b",
        "click_id": "XyZ",
        "click_network": "google",
    }


@pytest.mark.parametrize(
    ("query", "network"), [("fbclid=1", "meta"), ("msclkid=1", "microsoft"), ("xgclid=1", "")]
)
def test_clicks(query: str, network: str):
    found = of_one({"url": f"/?a=utm_&{query}"}, "campaign")
    assert (found["click_network"], found["click_id"]) == (network, "1" if network else "")


def test_marks_that_say_nothing():
    assert set(parsed(b"utm_source&utm_id=7&utm_=")) == {""}
    assert of_one({"url": "https://a.example/utm_source=x"}, "campaign")["campaign_source"] == ""


@pytest.mark.parametrize(
    ("referrer", "page", "expected"),
    [
        ("www.google.com", "shop.example", ("search", "Google")),
        ("google.co.uk", "", ("search", "Google")),
        ("news.google.de", "", ("search", "Google")),
        ("google.example.com", "", ("unknown", "google.example.com")),
        ("notgoogle.com", "", ("unknown", "notgoogle.com")),
        ("mail.google.com", "", ("email", "Gmail")),
        ("mail.yahoo.com", "", ("email", "Yahoo Mail")),
        ("m.facebook.com", "", ("social", "Facebook")),
        ("evil-facebook.com", "", ("unknown", "evil-facebook.com")),
        ("t.co", "", ("social", "X")),
        ("shop.example", "www.shop.example", ("internal", "")),
        ("blog.shop.example", "shop.example", ("unknown", "blog.shop.example")),
        ("", "shop.example", ("", "")),
        ("", "", ("", "")),
    ],
)
def test_referrers(referrer: str, page: str, expected: tuple[str, str]):
    assert came_from(referrer, page) == expected


def test_each_event_has_its_own_referrer_and_page():
    events = [
        {"url": "https://shop.example/a", "referrer": "https://shop.example/b?q=1"},
        {"url": "https://shop.example/a", "referrer": "https://duckduckgo.com/"},
        {"url": "https://other.example/a", "referrer": "https://shop.example/"},
        {"url": "https://other.example/a"},
    ]
    found = columns(events, "referrer")
    assert found["referrer_medium"] == ["internal", "search", "unknown", ""]
    assert found["referrer_source"] == ["", "DuckDuckGo", "shop.example", ""]


def sessions(*events: dict[str, Any], **shared: str) -> list[str]:
    return columns(list(events), "session", **shared)["session"]


def test_a_session_is_the_events_own_or_derived_from_who_when_and_with_what():
    user = {"user": "u1"}
    same, again, half_hour, other_user, other_agent, stated = sessions(
        {**user, "at": NOW_MS},
        {**user, "at": NOW_MS + 1000},
        {**user, "at": NOW_MS + 30 * 60 * 1000},
        {"user": "u2"},
        {**user, "user_agent": SPIDER},
        {**user, "session": "mine"},
    )
    assert same == again
    assert stated == "mine"
    assert len({same, half_hour, other_user, other_agent}) == 4
    assert all(len(one) == 16 for one in (same, half_hour, other_user, other_agent))
    assert sessions({**user, "at": NOW_MS}) == [same]  # in whatever pack it comes


def test_without_a_user_the_address_stands_for_one():
    one, other, nobody = (sessions({}, address=text)[0] for text in ("192.0.2.1", "192.0.2.2", ""))
    assert one != other
    assert nobody == ""
    assert sessions({"session": "s"}, {}, address="192.0.2.1") == ["s", one]
    assert sessions({"user": "u"}, {}, address="192.0.2.1")[1] == one


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.77", "192.0.2.0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("::ffff:192.0.2.77", "192.0.2.0"),
        ("fe80::1%eth0", "fe80::"),
        ("not an address", ""),
        ("", ""),
    ],
)
def test_masked_addresses(address: str, expected: str):
    assert masked(address) == expected


def test_steps_after_anonymise_ip_do_not_see_the_address(tmp_path: Path):
    events = [{"ip": "198.51.100.9"}, {}]
    found = columns(events, "anonymise_ip", "session")
    assert found["address"] == ["198.51.100.0", "192.0.2.0"]
    last_octet = [{"ip": "198.51.100.8"}, {}]
    assert columns(last_octet, "anonymise_ip", "session")["session"] == found["session"]
    assert columns(last_octet, "session")["session"][0] != columns(events, "session")["session"][0]
    key = key_file(tmp_path, b"k" * 32)
    hashed = {"pseudonymise": {"fields": ["address"], "key": key}}
    name = "pseudonym_of_address"
    one, other = (columns(one, "anonymise_ip", hashed)[name] for one in (events, last_octet))
    assert one == other


def key_file(folder: Path, key: bytes) -> str:
    path = folder / "key"
    path.write_bytes(key)
    return str(path)


def test_pseudonyms_are_linked_only_by_the_key(tmp_path: Path):
    events = [{"user": "ann"}, {"user": "bob"}, {"user": "ann"}, {}]

    def pseudonyms(key: bytes) -> list[str]:
        options = {"fields": ["user"], "key": key_file(tmp_path, key)}
        return columns(events, {"pseudonymise": options})["pseudonym_of_user"]

    ann, bob, again, nobody = pseudonyms(b"k" * 32)
    assert ann == again != bob
    assert (len(ann), nobody) == (32, "")
    assert pseudonyms(b"k" * 32 + b"\n") == [ann, bob, again, nobody]
    assert pseudonyms(b"K" * 32)[0] != ann


@pytest.fixture
def databases(tmp_path: Path) -> Mapping[str, str]:
    """Small ones, of documentation addresses."""
    city, asn = MMDBWriter(6, ipv4_compatible=True), MMDBWriter(4)
    city.insert_network(
        IPSet(["192.0.2.0/24", "2001:db8::/32"]),
        {
            "country": {"iso_code": "DE"},
            "subdivisions": [{"iso_code": "BE"}],
            "city": {"names": {"en": "Berlin"}},
        },
    )
    city.insert_network(IPSet(["198.51.100.0/24"]), {"country": {"iso_code": "FR"}})
    asn.insert_network(
        IPSet(["192.0.2.0/24"]),
        {"autonomous_system_number": 64496, "autonomous_system_organization": "Example"},
    )
    city.to_db_file(str(tmp_path / "city.mmdb"))
    asn.to_db_file(str(tmp_path / "asn.mmdb"))
    return {name: str(tmp_path / f"{name}.mmdb") for name in ("city", "asn")}


def test_places_and_networks(databases: Mapping[str, str]):
    addresses = ["192.0.2.9", "2001:db8::1", "198.51.100.1", "203.0.113.1", "x"]
    steps = {"geoip": {"database": databases["city"]}}, {"asn": {"database": databases["asn"]}}
    found = columns([{"ip": one} for one in addresses], *steps)
    assert found["country"] == ["DE", "DE", "FR", "", ""]
    assert found["region"] == ["BE", "BE", "", "", ""]
    assert found["city"] == ["Berlin", "Berlin", "", "", ""]
    assert found["asn"] == ["AS64496", "", "", "", ""]
    assert found["as_organisation"] == ["Example", "", "", "", ""]


def test_a_replaced_database_is_read_at_the_next_start(
    databases: Mapping[str, str], tmp_path: Path
):
    options = {"database": databases["city"]}
    running = ENRICHMENTS["geoip"](options)
    newer = MMDBWriter(4)
    newer.insert_network(IPSet(["192.0.2.0/24"]), {"country": {"iso_code": "AT"}})
    newer.to_db_file(str(tmp_path / "newer"))
    (tmp_path / "newer").rename(databases["city"])
    assert of_one({}, {"geoip": options})["country"] == "AT"
    assert running is not None


SCHEMA = {
    "type": "object",
    "required": ["id"],
    "properties": {"price": {"type": "number"}, "tags": {"items": {"type": "string"}}},
}


@pytest.fixture
def schema(tmp_path: Path) -> Callable[..., Step]:
    def write(document: object, endpoint: str = "/v1/events") -> Step:
        path = tmp_path / "schema.json"
        path.write_text(json.dumps(document))
        return {"schema": {endpoint: str(path)}}

    return write


def test_an_event_that_breaks_its_schema_is_a_dead_letter(schema: Callable[..., Step]):
    events: list[dict[str, Any]] = [
        {"id": "1", "price": 1},
        {"id": "2", "price": "secret 1"},
        {"price": 2},
        {"id": "3", "price": "secret 2"},
        {"id": "4", "tags": ["a", 7]},
    ]
    found = enriched(events, schema(SCHEMA))
    assert [(letter.index, letter.stage, letter.reason) for letter in found.dead] == [
        (1, "schema", "/price: it is not of type \"number\""),
        (2, "schema", 'the event: "id" is a required property'),
        (3, "schema", "/price: it is not of type \"number\""),
        (4, "schema", "/tags/1: it is not of type \"string\""),
    ]  # fmt: skip
    assert found.dead[0].body == json.dumps(events[1]).encode()
    assert found.dead[0].fingerprint == found.dead[2].fingerprint
    assert enriched(events, schema(SCHEMA, "/other")).dead == ()


def test_an_event_that_is_dead_already_keeps_its_reason(schema: Callable[..., Step]):
    pack_id = new_pack_id()
    share = packing.Share(2, NOW_MS)
    body = packing.pack(pack_id, {"endpoint": "/v1/events"}, [share], [b"nonsense\n{}"], None)
    rules = Rules.of(Settings(enrichments=(schema(SCHEMA),)))
    assert [letter.stage for letter in enrich(pack_id, body, rules).dead] == ["format", "schema"]


@pytest.mark.parametrize(
    ("step", "complaint"),
    [
        ("geo", "one of"),
        ({"bots": {"x": 1}}, "bots: takes no options, not x"),
        ({"geoip": {}}, "geoip: database: missing"),
        ({"geoip": {"database": "/no/such"}}, "geoip: database: cannot be read"),
        ({"geoip": {"databse": "x"}}, "did you mean 'database'?"),
        ({"asn": {"database": __file__}}, "asn: database: "),
        ({"asn": {"database": 7}}, "expected the path of a file"),
        ({"pseudonymise": {"fields": ["user"]}}, "key: missing"),
        ({"pseudonymise": {"fields": ["usr"], "key": __file__}}, "fields: ['usr']: some of"),
        ({"pseudonymise": {"fields": ["user"], "key": __file__}}, "bytes: expected 16 to 64"),
        ({"schema": {}}, "schema: expected {ENDPOINT"),
        ({"schema": {"/e": __file__}}, "schema: /e: "),
    ],
)
def test_wrong_options_are_named_at_start(step: Step, complaint: str):
    with pytest.raises(SettingsError) as caught:
        Rules.of(from_dict({"enrichments": [step]}))
    assert complaint in str(caught.value)
    assert str(caught.value).startswith("enrichments: ")


@pytest.mark.parametrize(
    "document", [{"type": "objct"}, {"$ref": "http://schemas.example/a"}, {"$ref": "#/no"}, [], 7]
)
def test_a_schema_that_is_wrong_or_not_whole_is_named(document: Any, schema: Callable[..., Step]):
    with pytest.raises(SettingsError, match=r"schema: /v1/events: .*schema\.json"):
        enriched([{}], schema(document))


def test_fingerprints_leave_out_what_differs():
    def fingerprint(reason: str, stage: str = "transform") -> str:
        return DeadLetter(new_pack_id(), 0, stage, reason, b"").fingerprint

    same = fingerprint("KeyError: 'a' in clean (t.py:12)\ntraceback 1")
    assert fingerprint("KeyError: 'b' in clean (t.py:13)\ntraceback 2") == same
    assert fingerprint("KeyError: 'a' in other (t.py:12)") != same
    assert fingerprint("KeyError: 'a' in clean (t.py:12)", "schema") != same
    assert len(same) == 12


def test_an_endpoint_can_record_less_of_its_senders_addresses(new_node: Callable[..., Any]):
    kept = {"whole": "198.51.100.77", "masked": "198.51.100.0", "none": ""}
    node = new_node(
        trusted_proxies=["127.0.0.1"],
        endpoints=[{"path": f"/{how}", "address": how} for how in kept],
    )
    node.start("collector")
    queue = engines.open_queue(Settings(data=node.data))
    for how, address in kept.items():
        connection = http.client.HTTPConnection("127.0.0.1", node.port("collector"), timeout=30)
        headers = {"Content-Type": "application/json", "X-Forwarded-For": "198.51.100.77"}
        connection.request("POST", f"/{how}", b"{}", headers)
        assert connection.getresponse().status == 200
        connection.close()
        (lease,) = queue.claim(1, 60)
        assert [share.address for share in packing.unpack(lease.body).shares] == [address]
        queue.ack([lease])
    queue.close()


PIECES = st.sampled_from(
    ["utm_source=a", "utm_campaign=x%20y", "gclid=1", "msclkid=2", "xutm_source=b", "utm_", "q=ü",
     "fbclid", "utm_medium=é", "?", "#", "&", "&", "\n", "/p", "https://Shop.example"]
)  # fmt: skip


@given(st.lists(st.lists(PIECES, max_size=7).map("".join), min_size=1, max_size=5))
def test_addresses_are_read_as_one_text_as_they_are_each(addresses: list[str]) -> None:
    found = columns([{"url": address} for address in addresses], "url", "campaign")
    for index, address in enumerate(addresses):
        page, _, query = address.partition("?")
        marks = dict(zip(NAMES, parsed(query.partition("#")[0].encode()), strict=True))
        assert {name: found[name][index] for name in NAMES} == marks
        host, path = host_and_path(page.encode())
        assert (found["url_host"][index], found["url_path"][index]) == (host, path)
