"""The port of a tool: what it is asked with, and what it does."""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from eventstore.errors import EventStoreError
from eventstore.settings import Settings

WAITING_EXIT = 75  # EX_TEMPFAIL of sysexits.h: not known yet


@dataclass(frozen=True, slots=True)
class Tool:
    """arguments: adds its own to the parser. run: does it; the exit code. examples: for --help,
    each what stands after `events`. All tools have --settings, --data and --json."""

    says: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Settings], int]
    examples: tuple[str, ...] = ()


class NotFound(EventStoreError):
    """What a tool was asked for isn't there."""


def print_json(value: Any) -> None:
    """One line of JSON on stdout."""
    print(json.dumps(value, ensure_ascii=False))
