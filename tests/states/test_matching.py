"""`evrelease.matches`, as Salt runs it on a node."""

from __future__ import annotations

import pytest

from tests.states.conftest import Call


@pytest.mark.parametrize(
    ("compound", "matches"),
    [
        ("node-01", True),
        ("G@kernel:Linux and not web-*", True),
        ("( G@kernel:Windows or L@node-01,node-02 ) and E@node-\\d+", True),
        ("G@kernel:Windows", False),
    ],
)
def test_salts_compound_matcher(call: Call, compound: str, matches: bool) -> None:
    said = call("evrelease.matches", compound=compound)
    assert said == {"ok": True, "result": {"matches": matches}, "status": None}
