"""Of processors with thin traffic one gathers; what it leaves in the queue another soon has."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from eventstore.ports import EventStore, Queue
from eventstore.processing.gathered import LOOKS, Gathered
from eventstore.processing.processor import Processor
from eventstore.processing.turn import LINGER_S_MIN, Turn
from eventstore.settings import Settings
from tests.eventstore.test_processing import make_pack

LINGER_S = 60.0


@dataclass
class Turns:
    """Of a store: who has the turn, and until when."""

    who: str = ""
    until_s: float = 0
    taken: int = 0

    def take_turn(self, who: str, now_s: float, for_s: float) -> bool:
        if self.who not in ("", who) and self.until_s > now_s:
            return False
        self.who, self.until_s = who, now_s + for_s
        self.taken += 1
        return True

    def end_turn(self, who: str) -> None:
        if self.who == who:
            self.who = ""


@dataclass
class Line:
    """A pack a second, and processors that look as often as they do."""

    linger_s: float
    processors: int
    now_s: float = 0
    queue: list[float] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)
    puts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.turns = Turns()
        clock: Callable[[], float] = lambda: self.now_s  # noqa: E731
        self.alive = {
            number: Turn(self.turns, self.linger_s, clock)  # type: ignore[arg-type]
            for number in range(self.processors)
        }
        self.held: dict[int, list[float]] = {number: [] for number in self.alive}
        self.looks_at_s = {number: float(number) for number in self.alive}

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now_s += 1
            self.queue.append(self.now_s)
            for number, turn in self.alive.items():
                if self.now_s >= self.looks_at_s[number]:
                    self.look(number, turn)

    def look(self, number: int, turn: Turn) -> None:
        held = self.held[number]
        if turn.is_mine() or held:
            held += self.queue
            self.queue.clear()
            turn.note_claim(is_all=True)
        pause_s = self.linger_s / LOOKS if held else max(turn.pause_s(), 1)
        self.looks_at_s[number] = self.now_s + pause_s
        if held and self.now_s - held[0] >= self.linger_s:
            self.waits_s += [self.now_s - one for one in held]
            self.puts.append(len(held))
            held.clear()
            turn.note_put(has_enough=False)
            self.looks_at_s[number] = self.now_s + 1


@pytest.mark.parametrize("processors", [1, 2, 3])
def test_however_many_there_are_one_segment_is_filled_in_a_linger(processors: int):
    line = Line(LINGER_S, processors)
    line.run(300)  # until each has found out that there is little
    line.puts.clear()
    line.run(3000)
    assert 3000 / (LINGER_S + 2) - 1 <= len(line.puts) <= 3000 / LINGER_S
    assert min(line.puts) >= LINGER_S
    assert max(line.waits_s) <= LINGER_S + 1
    assert line.turns.taken <= 3 * len(line.puts)


def test_when_the_one_dies_another_has_what_waits_within_a_linger():
    for died_s in range(600, 660, 7):
        line = Line(LINGER_S, 2)
        line.run(died_s)
        (gatherer,) = (number for number, held in line.held.items() if held)
        del line.alive[gatherer]
        line.run(300)
        assert max(line.waits_s) <= 2 * LINGER_S + LINGER_S / LOOKS


def test_where_there_is_enough_or_nothing_is_gained_all_of_them_claim():
    turns = Turns("another", 1e9)
    for linger_s, is_all, has_enough in (
        (LINGER_S, True, True),
        (LINGER_S, False, False),
        (LINGER_S_MIN - 1, True, False),
    ):
        turn = Turn(turns, linger_s, lambda: 0.0)  # type: ignore[arg-type]
        assert turn.is_mine()
        turn.note_claim(is_all=is_all)
        turn.note_put(has_enough=has_enough)
        assert (turn.is_mine(), turn.pause_s()) == (True, 0)
    assert turns.taken == 0


def test_who_finds_enough_lets_others_claim_at_once():
    turns = Turns()
    ours, other = (Turn(turns, LINGER_S, lambda: 0.0) for _ in range(2))  # type: ignore[arg-type]
    for one in (ours, other):
        one.note_claim(is_all=True)
        one.note_put(has_enough=False)
    assert (ours.is_mine(), other.is_mine()) == (True, False)
    assert (ours.pause_s(), other.pause_s()) == (0, LINGER_S / LOOKS)
    ours.note_put(has_enough=True)
    assert (ours.is_mine(), other.is_mine()) == (True, True)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=f"file://{tmp_path}")


def test_a_processor_without_the_turn_leaves_packs_in_the_queue(
    queue: Queue, store: EventStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    processor = Processor(queue, store, settings)
    processor._gathered = Gathered(0, lambda: 0)
    processor._turn = Turn(store, LINGER_S, lambda: 0)
    queue.put([make_pack([b"{}"])])
    assert processor.step() == 1  # it is stored, and the queue is empty: traffic is thin
    queue.put([make_pack([b"{}"])])

    def is_anothers(*_: object) -> bool:
        processor.stop()
        return False

    monkeypatch.setattr(store, "take_turn", is_anothers)
    processor.run()
    assert (queue.depth().packs, queue.depth().leased) == (1, 0)


def test_when_it_ends_another_has_its_turn_at_once(
    queue: Queue, store: EventStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    processor = Processor(queue, store, settings)
    processor._turn = Turn(store, LINGER_S, lambda: 0)
    processor._turn.note_claim(is_all=True)
    processor._turn.note_put(has_enough=False)
    assert processor._turn.is_mine()
    ended: list[str] = []
    monkeypatch.setattr(store, "end_turn", ended.append)
    processor.stop()
    processor.run()
    assert len(ended) == 1
