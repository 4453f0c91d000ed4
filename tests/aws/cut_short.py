"""A store whose writing ends halfway, as when its process is killed there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from eventstore.backends.aws.store import DynamoStore
from eventstore.errors import EngineUnavailable

WRITES = ("write", "put_if", "count_up")


@contextmanager
def cut_short(store: DynamoStore, after: int, names: Collection[str] = WRITES) -> Iterator[None]:
    """As long as this lasts: after so many of its table's writes the next one fails."""
    left = after

    def cut(done: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            nonlocal left
            if left == 0:
                raise EngineUnavailable("cut short")
            left -= 1
            return done(*arguments)

        return call

    with pytest.MonkeyPatch.context() as patched:
        for name in names:
            patched.setattr(store._table, name, cut(getattr(store._table, name)))
        yield
