"""How long a call takes."""

import statistics
import time
from collections.abc import Callable

ROUNDS = 20
"""Machines are shared, and change their speed by two: the median of the least disturbed round counts."""
APART_S = 0.1
TOGETHER = 10
"""So many calls are timed together: reading the clock takes as long as some of them."""


def median_us(call: Callable[[], object], *, repeats: int) -> float:
    """Return the median duration of a call in microseconds of this process's CPU, in the fastest of some rounds."""
    rounds = []
    for _ in range(ROUNDS):
        rounds.append(statistics.median(_duration_us(call) for _ in range(max(3, repeats // ROUNDS // TOGETHER))))
        time.sleep(APART_S)
    return min(rounds)


def _duration_us(call: Callable[[], object]) -> float:
    started = time.process_time_ns()
    for _ in range(TOGETHER):
        call()
    return (time.process_time_ns() - started) / 1000 / TOGETHER
