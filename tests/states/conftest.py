"""A Salt minion without a master, in this process: renders and applies the project's states; and a
node for it, whose toolkit is this repository's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.foreign.lone_node import LoneNode, lone_node
from tests.states.pillars import folder_pillar

REPOSITORY = Path(__file__).resolve().parents[2]

Call = Callable[..., Any]


@pytest.fixture
def call(tmp_path: Path) -> Call:
    """Runs a Salt function: call("state.show_highstate", pillar={…}). What is in the folder
    `pillar` of the test's own is its pillar otherwise."""
    import salt.client  # not above: Salt's import hooks stop pytest from collecting
    import salt.config

    own = tmp_path / "minion"
    opts = salt.config.minion_config(None)
    opts.update(
        file_client="local",
        id="node-01",
        root_dir=str(own),
        cachedir=str(own / "cache"),
        pki_dir=str(own / "pki"),
        sock_dir=str(own / "sock"),
        log_file=str(own / "log"),
        extension_modules=str(own / "ext"),
        file_roots={"base": [str(REPOSITORY / "salt")]},
        pillar_roots={"base": [str(tmp_path / "pillar")]},
        module_dirs=[str(REPOSITORY / "salt")],
        fileserver_followsymlinks=True,
        enable_fqdns_grains=False,
        enable_gpu_grains=False,
    )
    own.mkdir()
    return salt.client.Caller(mopts=opts).cmd


@pytest.fixture
def node(tmp_path: Path) -> Iterator[LoneNode]:
    with lone_node() as made:
        toolkit = made.root / "opt/evctl/toolkit"
        toolkit.mkdir(parents=True)
        (toolkit / "artifacts").symlink_to(REPOSITORY / "artifacts")
        tell(tmp_path, made)
        yield made


def tell(folder: Path, node: LoneNode, **told: Any) -> None:
    """What the master answers from now on, when the node asks."""
    (folder / "pillar").mkdir(exist_ok=True)
    (folder / "pillar/top.sls").write_text("base: {'*': [told]}")
    (folder / "pillar/told.sls").write_text(yaml.safe_dump(folder_pillar(node.root, **told)))
