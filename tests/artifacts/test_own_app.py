"""docs/own-app.md: the app that stands there is released, serves, and is swapped for its next
version and back under load, without a request that fails."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from tests.contracts.http_load import Load, Tally
from tests.foreign.lone_node import LoneNode, lone_node

PAGE = Path(__file__).resolve().parents[2] / "docs/own-app.md"


def _files_of_the_page() -> dict[str, str]:
    blocks = re.findall(r"```(yaml|python)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (described,) = (text for kind, text in blocks if kind == "yaml")
    (program,) = (text for kind, text in blocks if kind == "python")
    return {"evctl.yaml": described, "hello/__main__.py": program}


def _publish(node: LoneNode, version: str) -> str:
    tree = node.base / f"own-{version}"
    for name, text in _files_of_the_page().items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text.replace("hello\\n", f"hello {version}\\n"))
    return node.publish_tree(tree, version)


async def _swapped_under_load(node: LoneNode, *releases: str) -> Tally:
    load = Load(*node.engine.address, "/", keep_alive=0, one_request=3)
    for release in releases:
        swap = await asyncio.to_thread(node.done, "converge", release=release)
        assert swap["drained"] is True
        await load.answered(20)
    return await load.stop()


def test_the_app_of_the_page_serves_and_is_swapped_without_a_failed_request() -> None:
    with lone_node() as node:
        one, two = _publish(node, "1.0.0"), _publish(node, "1.1.0")
        node.done("converge", release=one)
        node.done("prefetch", release=two)
        tally = asyncio.run(_swapped_under_load(node, two, one))
        assert tally.failures == []
        assert tally.bodies.keys() == {"hello 1.0.0\n", "hello 1.1.0\n"}
        assert node.done("status")["release"] == one
