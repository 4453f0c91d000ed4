"""Settings: strict, bounded, documented."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from eventstore.endpoints import FORMATS as FORMAT_NAMES
from eventstore.endpoints import Endpoint
from eventstore.errors import SettingsError
from eventstore.event import FIELDS
from eventstore.formats import FORMATS, Fields
from eventstore.settings import Settings, from_dict, load

DOCS = Path(__file__).parent.parent.parent / "docs"


def rows_of(document: str) -> dict[str, str]:
    """Setting → its default, of all tables in a document."""
    return {
        cells[1].strip("` "): cells[2].strip()
        for line in (DOCS / document).read_text().splitlines()
        if line.startswith("| `") and len(cells := line.split("|")) > 3
    }


def test_every_setting_is_documented_with_its_default():
    rows = rows_of("settings.md")
    for one in dataclasses.fields(Settings):
        assert one.name in rows, f"{one.name} is not in docs/settings.md"
        if one.default is not dataclasses.MISSING and one.name != "endpoints":
            assert rows[one.name] == f"`{one.default}`", one.name
    known = {one.name for one in dataclasses.fields(Settings)}
    assert rows.keys() <= known, "documented, but no setting"


def test_every_key_of_an_endpoint_is_documented():
    assert {one.name for one in dataclasses.fields(Endpoint)} <= rows_of("endpoints.md").keys()


def test_every_format_can_be_named_and_the_standard_names_are_documented():
    assert set(FORMAT_NAMES) == {*FORMATS, "by_content_type"}
    assert (*FIELDS, "ago_ms") == Fields.__struct_fields__
    text = (DOCS / "settings.md").read_text()
    assert all(f"| {what} | {name} |" in text for what, name in FIELDS.items())


def test_an_empty_file_gives_the_defaults(tmp_path: Path):
    (tmp_path / "s.yaml").write_text("")
    assert load(tmp_path / "s.yaml") == Settings()


def test_values_are_taken():
    settings = from_dict(
        {
            "data": "file:///x",
            "lease_s": 2,
            "endpoints": [{"path": "/in", "format": "ndjson", "tags": {"a": "b"}, "source": "s"}],
        }
    )
    assert settings.lease_s == 2
    assert settings.endpoints == (Endpoint("/in", "ndjson", {"a": "b"}, "s"),)


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ([], "mapping"),
        ({"body_byte_max": 1}, "unknown key 'body_byte_max': did you mean 'body_bytes_max'?"),
        ({1: 1}, "unknown key"),
        ({"lease_s": "2"}, "expected a number"),
        ({"lease_s": True}, "expected a number"),
        ({"lease_s": float("nan")}, "expected 0.1 to 3600"),
        ({"lease_s": 0}, "expected 0.1 to 3600"),
        ({"depth_max": 1.5}, "whole number"),
        ({"data": 7}, "expected text"),
        ({"data": "redis://x"}, "file:///"),
        ({"event_loop": "tornado"}, "uvloop, asyncio"),
        ({"endpoints": []}, "at least one"),
        ({"endpoints": [{}]}, "endpoints[0]: path"),
        ({"endpoints": [{"path": "/readyz"}]}, "path"),
        ({"endpoints": [{"path": "/receipt/a"}]}, "path"),
        ({"endpoints": [{"path": "/a", "fromat": "json"}]}, "did you mean 'format'?"),
        ({"endpoints": [{"path": "/a", "format": "xml"}]}, "one of"),
        ({"endpoints": [{"path": "/a", "tags": {"a": 1}}]}, "text to text"),
        ({"endpoints": [{"path": "/a"}, {"path": "/a"}]}, "twice"),
        ({"endpoints": [{"path": "/a", "address": "half"}]}, "whole, masked, none"),
        ({"transforms": "a:b"}, "expected a list"),
        ({"scaling": {"web": {}}}, "scaling: web: expected one of collector"),
        ({"scaling": {"processor": {"floor": 0}}}, "floor: 0: expected 1 to 1000"),
        ({"scaling_nodes": "nodes.yaml"}, "or file:///"),
        ({"scaling_nodes": {"web": ["10.0.0.1"]}}, "web: expected a list of http://"),
        ({"scaling_groups": {"processor": "shop"}}, "asg://<group>"),
        ({"scaling_state": "redis://x"}, "expected file:///<folder>, or s3://"),
    ],
)
def test_what_is_wrong_is_named(document: Any, complaint: str):
    with pytest.raises(SettingsError) as caught:
        from_dict(document)
    assert complaint in str(caught.value)


@pytest.mark.parametrize("content", [b"a: [", b"\xff\xfe\x00", b"!!python/object:os.system {}"])
def test_a_file_that_is_no_yaml_is_named(content: bytes, tmp_path: Path):
    (tmp_path / "s.yaml").write_bytes(content)
    with pytest.raises(SettingsError, match=r"s\.yaml"):
        load(tmp_path / "s.yaml")
    with pytest.raises(SettingsError, match="gone"):
        load(tmp_path / "gone.yaml")
