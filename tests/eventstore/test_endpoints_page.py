"""docs/endpoints.md: each example runs, against the page's own table, and prints what it says."""

import re
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from eventstore.formats import CONTENT_TYPES, FORMATS, READERS
from eventstore.query.read import open_reader

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "endpoints.md").read_text()
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PACK = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
NOW = re.compile(r"\b\d{13}\b(?=\})")
# One event each, which their protocols' answers don't count: the pixel's, and segment's to ga4's.
UNCOUNTED = 8
MADE_FOR = "http://127.0.0.1:8080"


def examples() -> list[tuple[str, str]]:
    """Commands, and what they print."""
    blocks = BLOCK.findall(PAGE)
    return [(text, printed) for (kind, text), (_, printed) in pairwise(blocks) if kind == "sh"]


def without_packs(text: str) -> str:
    """Nor times, nor newlines, which a JSON answer does not end in."""
    return NOW.sub("NOW", PACK.sub("PACK", text)).replace("\n", "")


def test_examples_print_what_the_page_says(
    new_node: Callable[..., Any], until: Any, tmp_path: Path
):
    table = yaml.safe_load(next(text for kind, text in BLOCK.findall(PAGE) if kind == "yaml"))
    node = new_node(**table)
    collector = node.start("collector")
    node.start("processor")
    address = f"http://127.0.0.1:{node.port('collector')}"
    for commands, printed in examples():
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands.replace(MADE_FOR, address)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, (commands, done.stderr)
        assert without_packs(done.stdout) == without_packs(printed), commands
    accepted = sum(map(int, re.findall(r'"accepted":(\d+)', "".join(p for _, p in examples()))))
    reader = open_reader(node.data)
    until(lambda: reader.pending().packs == 0)
    assert len(list(reader.events())) == accepted + UNCOUNTED
    assert list(reader.dead_letters()) == []
    reader.close()
    assert "fault" not in collector.log.read_text()


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_an_example(name: str):
    section = PAGE.partition(f"\n### {name}\n")[2].partition("\n## ")[0].partition("\n### ")[0]
    assert "```sh\n" in section
    assert "curl -s" in section


def test_every_content_type_and_code_is_on_the_page():
    for content_type in CONTENT_TYPES:
        assert content_type in PAGE or content_type == "application/ndjson"
    sources = "".join(
        path.read_text()
        for part in ("formats", "collector")
        for path in (ROOT / "eventstore" / part).glob("*.py")
    )
    codes = set(re.findall(r"Refused\(\s*\d{3},\s*\"(\w+)\"", sources))
    assert len(codes) > 15
    assert {code for code in codes if f"`{code}`" not in PAGE} == set()


def test_what_is_stored_of_every_format_is_said():
    page = (ROOT / "docs" / "wire-format.md").read_text()
    table = page.partition("| stored as |")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(READERS)
