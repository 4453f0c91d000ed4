"""Shares and turns between tenants, decided without a clock, a socket or a thread."""

from hypothesis import given
from hypothesis import strategies as st

from eventstore.collector.fairness import ALONE, ITEM_BYTES, TURN_BYTES, Shares, Turns


def filled(shares: Shares, tenant: str, amount: int = 1) -> int:
    taken = 0
    while shares.take(tenant, amount):
        taken += amount
    return taken


def test_a_tenant_alone_gets_nearly_all_and_never_all():
    shares = Shares(900)
    assert filled(shares, "a") == 800
    assert shares.free == 100
    assert not shares.fits("a", 1)


def test_the_next_tenant_finds_room_while_the_first_floods():
    shares = Shares(900)
    filled(shares, "a")
    assert filled(shares, "b") > 80
    assert filled(shares, "c") > 0
    assert shares.free > 0


def test_they_end_up_alike_as_the_first_gives_back():
    shares = Shares(9000)
    held = {"a": filled(shares, "a"), "b": 0}
    for _ in range(9000):
        if held["a"] > held["b"]:
            shares.give_back("a", 1)
            held["a"] -= 1
        for tenant in held:
            held[tenant] += shares.take(tenant, 1)
    assert abs(held["a"] - held["b"]) <= ALONE
    assert sum(held.values()) > 0.9 * 9000


def test_one_that_needs_all_of_it_gets_it_when_nobody_holds_any():
    shares = Shares(10)
    assert not shares.fits("a", 11)
    assert shares.take("a", 10)
    assert not shares.take("b", 1)
    shares.give_back("a", 10)
    assert shares.take("b", 1)


def test_what_is_given_back_can_be_taken_again():
    shares = Shares(900)
    filled(shares, "a")
    shares.give_back("a", 800)
    assert shares.free == 900
    assert filled(shares, "a") == 800


@given(
    st.integers(1, 10_000),
    st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 2000)), max_size=200),
)
def test_the_bound_holds_whatever_comes(total: int, asked: list[tuple[str, int]]):
    shares = Shares(total)
    taken = sum(amount for tenant, amount in asked if shares.take(tenant, amount))
    assert taken + shares.free == total
    assert shares.free >= 0


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 50)), max_size=400))
def test_a_tenant_that_holds_nothing_finds_room_for_a_little(asked: list[tuple[str, int]]):
    shares = Shares(10_000)
    for tenant, amount in asked:
        shares.take(tenant, amount)
    assert shares.fits("new", 50)


def test_each_tenant_is_first_in_first_out():
    turns: Turns[int] = Turns()
    for number in range(5):
        turns.add("a", number, 10)
    assert len(turns) == 5
    assert turns.take(1) == [0, 1, 2, 3, 4]  # a whole turn
    assert (len(turns), turns.take(1)) == (0, [])


def test_one_that_comes_late_need_not_wait_for_a_flood():
    turns: Turns[str] = Turns()
    for _ in range(1000):
        turns.add("flood", "flood", 10_000)
    turns.take(4 * TURN_BYTES)
    turns.add("late", "late", 10)
    assert "late" in turns.take(4 * TURN_BYTES)


def test_turns_are_even_in_bytes_not_in_requests():
    turns: Turns[str] = Turns()
    for _ in range(5000):
        turns.add("large", "large", 30_000)
        turns.add("small", "small", 1000)
    taken = turns.take(100 * TURN_BYTES)
    large = taken.count("large") * (30_000 + ITEM_BYTES)
    small = taken.count("small") * (1000 + ITEM_BYTES)
    assert abs(large - small) <= 2 * TURN_BYTES


def test_an_item_larger_than_a_turn_has_its_turn_in_the_end():
    turns: Turns[str] = Turns()
    turns.add("a", "huge", 50 * TURN_BYTES)
    for _ in range(1000):
        turns.add("b", "b", 1000)
    taken = turns.take(1000 * TURN_BYTES)
    assert "huge" in taken
    assert len(taken) == 1001
    turns.add("a", "alone", 50 * TURN_BYTES)
    assert turns.take(1) == ["alone"]


def test_a_tenant_that_waited_for_nothing_saves_nothing_up():
    turns: Turns[str] = Turns()
    turns.add("a", "a", 1)
    assert turns.take(1) == ["a"]
    for _ in range(100):
        turns.add("a", "a", TURN_BYTES - ITEM_BYTES)
        turns.add("b", "b", TURN_BYTES - ITEM_BYTES)
    taken = turns.take(10 * TURN_BYTES)
    assert (taken.count("a"), taken.count("b")) == (5, 5)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3 * TURN_BYTES)), max_size=60),
    st.integers(1, 5 * TURN_BYTES),
)
def test_nothing_is_lost_or_taken_twice(items: list[tuple[str, int]], bytes_max: int):
    turns: Turns[int] = Turns()
    for number, (tenant, size) in enumerate(items):
        turns.add(tenant, number, size)
    taken: list[int] = []
    while batch := turns.take(bytes_max):
        taken += batch
    assert sorted(taken) == list(range(len(items)))
    for tenant in "abc":
        own = [number for number in taken if items[number][0] == tenant]
        assert own == sorted(own)
