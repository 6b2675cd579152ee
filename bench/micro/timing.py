"""How long a call takes."""

import statistics
import time
from collections.abc import Callable


def median_us(call: Callable[[], object], *, repeats: int) -> float:
    """Return the median duration of a call in microseconds of this process's CPU."""
    durations = []
    for _ in range(repeats):
        started = time.process_time_ns()
        call()
        durations.append((time.process_time_ns() - started) / 1000)
    return statistics.median(durations)
