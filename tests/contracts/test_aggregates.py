"""The contract of the port Aggregates. An engine inherits it and says how it is opened."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from eventstore.backends.embedded.aggregates import EmbeddedAggregates
from eventstore.errors import EngineUnavailable
from eventstore.ports import Aggregates, Generation

OpenAggregates = Callable[[], Aggregates]
FIRST = Generation(
    window_start_s=1795530600,
    window_s=60,
    generation=1,
    version=1,
    packs=1,
    events=2,
    file="",
    sha256="",
)


def nth(number: int) -> Generation:
    return replace(FIRST, generation=number, version=number)


class AggregatesContract:
    """The engine under test keeps 3 generations."""

    @pytest.fixture
    def opened(self) -> OpenAggregates:
        raise NotImplementedError

    def test_a_window_is_read_as_published(self, opened: OpenAggregates):
        assert opened().latest(FIRST.window_start_s) is None
        assert opened().publish(FIRST, b"table 1")
        latest = opened().latest(FIRST.window_start_s)
        assert latest is not None
        assert (latest.generation, latest.version, latest.events) == (1, 1, 2)
        assert opened().read(latest) == b"table 1"
        assert list(opened().windows()) == [latest]

    def test_a_generation_is_published_once(self, opened: OpenAggregates):
        assert opened().publish(FIRST, b"mine")
        assert not opened().publish(FIRST, b"yours")
        assert not opened().publish(FIRST, b"mine")
        latest = opened().latest(FIRST.window_start_s)
        assert latest is not None
        assert opened().read(latest) == b"mine"

    def test_the_newest_generation_is_what_readers_see(self, opened: OpenAggregates):
        for number in range(1, 13):
            assert opened().publish(nth(number), f"table {number}".encode())
        (latest,) = opened().windows()
        assert latest.generation == 12
        assert opened().read(latest) == b"table 12"

    def test_windows_come_oldest_first(self, opened: OpenAggregates):
        starts = [1795530600, 600, 1795530660]
        for start in starts:
            opened().publish(replace(FIRST, window_start_s=start), b"table")
        assert [one.window_start_s for one in opened().windows()] == sorted(starts)

    def test_of_many_publishers_one_wins(self, opened: OpenAggregates):
        won: list[int] = []

        def publish(number: int) -> None:
            if opened().publish(FIRST, f"table of {number}".encode()):
                won.append(number)

        threads = [threading.Thread(target=publish, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        (latest,) = opened().windows()
        assert len(won) == 1
        assert opened().read(latest) == f"table of {won[0]}".encode()


class TestEmbeddedAggregates(AggregatesContract):
    @pytest.fixture
    def opened(self, tmp_path: Path) -> OpenAggregates:
        return lambda: EmbeddedAggregates(tmp_path, generations_kept=3)

    def test_a_damaged_table_is_noticed(self, tmp_path: Path, opened: OpenAggregates):
        opened().publish(FIRST, b"table")
        (latest,) = opened().windows()
        (tmp_path / latest.file).write_bytes(b"tampered")
        with pytest.raises(EngineUnavailable, match="differs"):
            opened().read(latest)

    def test_old_generations_and_losers_leave_nothing_behind(
        self, tmp_path: Path, opened: OpenAggregates
    ):
        for number in range(1, 8):
            opened().publish(nth(number), f"table {number}".encode())
            opened().publish(nth(number), b"too late")
        files = [one for one in tmp_path.rglob("*") if one.is_file()]
        assert len(files) == 6
