"""How long a call takes."""

import statistics
import time
from collections.abc import Callable

ROUNDS = 20
"""Machines are shared, and change their speed by two: the median of the least disturbed round counts."""
APART_S = 0.1
"""Between two rounds, so that what disturbs one is not there in all of them."""
LEAST = 3
"""Medians are of no fewer timings."""
TOGETHER = 10
"""So many calls are timed together: reading the clock takes as long as some of them."""


def median_us(call: Callable[[], object], *, repeats: int) -> float:
    """Return the median duration of a call in microseconds of this process's CPU, in the fastest of some rounds.

    ``repeats`` is how often it is called in all, but for rounding; no less than `ROUNDS` x `LEAST` x `TOGETHER`.
    """
    timings = max(LEAST, repeats // ROUNDS // TOGETHER)
    rounds = []
    for _ in range(ROUNDS):
        rounds.append(statistics.median(_duration_us(call) for _ in range(timings)))
        time.sleep(APART_S)
    return min(rounds)


def _duration_us(call: Callable[[], object]) -> float:
    started = time.process_time_ns()
    for _ in range(TOGETHER):
        call()
    return (time.process_time_ns() - started) / 1000 / TOGETHER
