"""Which nodes there are: a table in the settings, or a file that somebody keeps up to date."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

import yaml

from eventstore.errors import EngineUnavailable
from scaling.nodes import Nodes, nodes_of


class Known(Protocol):
    """Who there is now."""

    def __call__(self) -> Nodes:
        """Raises EngineUnavailable."""


def known(setting: str | Nodes) -> Known:
    """Of the setting scaling_nodes: a table, or the URL of a file that is read at each look."""
    return partial(_read, setting) if isinstance(setting, str) else lambda: setting


def _read(file_url: str) -> Nodes:
    path = Path(unquote(urlsplit(file_url).path))
    try:
        return nodes_of(yaml.safe_load(path.read_bytes()))
    except FileNotFoundError:
        return {}  # nobody has said yet who there is, so of nobody is anything decided
    except (OSError, ValueError, yaml.YAMLError) as error:
        why = " ".join(str(error).split())
        raise EngineUnavailable(f"the nodes of {path} can't be read: {why}") from error
