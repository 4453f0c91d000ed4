"""When to try again: waits that double, each of them random between nothing and its bound."""

import time
from collections.abc import Callable, Iterator
from random import Random


class Retries:
    """give_up_s bounds all tries of one operation together; random, clock and sleep are given by
    tests that want the same waits each time."""

    def __init__(
        self,
        give_up_s: float,
        *,
        step_s: float = 0.05,
        longest_s: float = 2.0,
        random: Random | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._give_up_s = give_up_s
        self._step_s = step_s
        self._longest_s = longest_s
        self._random = random or Random()  # noqa: S311 -- spreads callers, no secret
        self._clock = clock
        self._sleep = sleep

    def tries(self) -> Iterator[bool]:
        """Yields before each try, after its wait: whether it is the last."""
        end_s = self._clock() + self._give_up_s
        bound_s = self._step_s
        while True:  # ends: the clock goes on, and so does the bound
            wait_s = self._random.uniform(0, bound_s)
            last = self._clock() + wait_s >= end_s
            yield last
            if last:
                return
            self._sleep(wait_s)
            bound_s = min(bound_s * 2, self._longest_s)
