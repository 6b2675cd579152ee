"""What other traffic endpoints typically have: the guess for one whose metrics page does not come."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from epp.plugin import Endpoint

MEAN_FOR_S = 0.5
"""How long a mean is good for: it is asked for at every page that does not come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Others:
    """What an endpoint's page shows beyond this picker's own requests; ``None``: it does not say."""

    waiting: float | None = None
    running: float | None = None
    kv_cache_ratio: float | None = None
    """Of everything, this picker's own requests too."""


class TypicalLoad:
    """The mean over the endpoints of a pool whose pages come."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._others: dict[Endpoint, Others] = {}
        self._mean = Others()
        self._mean_until_s = float("-inf")

    def note(self, endpoint: Endpoint, others: Others) -> None:
        """Take note of what an endpoint's page shows."""
        self._others[endpoint] = others

    def forget(self, endpoint: Endpoint) -> None:
        """Leave an endpoint out: its page does not come, or it has left."""
        self._others.pop(endpoint, None)

    def mean(self) -> Others:
        """Return the mean of each number over the endpoints that tell it."""
        now_s = self._clock()
        if not self._mean_until_s - MEAN_FOR_S <= now_s < self._mean_until_s:
            known = self._others.values()
            self._mean = Others(
                waiting=_mean(one.waiting for one in known),
                running=_mean(one.running for one in known),
                kv_cache_ratio=_mean(one.kv_cache_ratio for one in known),
            )
            self._mean_until_s = now_s + MEAN_FOR_S
        return self._mean


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
