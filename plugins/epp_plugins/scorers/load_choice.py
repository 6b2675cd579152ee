"""What scorers that rate load have in common: which load, and how it is compared."""

from collections.abc import Sequence
from functools import cache
from typing import cast

from epp.plugin import Endpoint, Load, PluginParams

LONGEST_TABLE = 256
"""Larger differences of counts are divided, not looked up."""


class LoadParams(PluginParams):
    """The parameters of scorers that rate load."""

    raw: bool = False
    """Rate the last metrics page as it was, as the Go pickers do."""

    def loads(self, candidates: Sequence[Endpoint]) -> list[Load]:
        """Return the load of each candidate.

        The scorers that most profiles have ask `raw` themselves, to read their number in the same pass: with a list of
        loads in between, or an ``attrgetter``, reading takes nearly twice as long (`bench/micro/scheduling.py`).
        """
        if self.raw:
            return [endpoint.scraped for endpoint in candidates]
        return [endpoint.load for endpoint in candidates]


def rate_lowest_best(counts: Sequence[float | None]) -> list[float]:
    """Return (max - count) / (max - min) for each, 1 for all when they are equal; `with_unknown` for those unknown."""
    try:
        most = max(counts)  # type: ignore[type-var]
        spread = most - min(counts)  # type: ignore[operator, type-var]
        if not spread:
            return [1.0] * len(counts)
        if spread <= LONGEST_TABLE:
            ratings = _ratings(spread)
            return [ratings[most - count] for count in counts]  # type: ignore[operator, index]
    except TypeError:  # one is None, or no integer; looking for it first would take as long as the rest
        pass
    known = [count for count in counts if count is not None]
    rated = iter(_rate(known) if known else ())
    return with_unknown([None if count is None else next(rated) for count in counts])


def _rate(counts: Sequence[float]) -> list[float]:
    most = max(counts)
    spread = most - min(counts)
    return [(most - count) / spread for count in counts] if spread else [1.0] * len(counts)


@cache
def _ratings(spread: int) -> Sequence[float]:
    """Return n / spread by n: looking one up takes half the time of a division (`bench/micro/scheduling.py`)."""
    return [n / spread for n in range(spread + 1)]


def with_unknown(scores: Sequence[float | None]) -> list[float]:
    """Return the scores, and their mean in place of those that are not known.

    So an endpoint whose engine does not export a number is neither the best nor the worst by it. 0 for all where
    nothing is known.
    """
    if None not in scores:
        return list(cast("Sequence[float]", scores))
    known = [score for score in scores if score is not None]
    mean = sum(known) / len(known) if known else 0.0
    return [mean if score is None else score for score in scores]
