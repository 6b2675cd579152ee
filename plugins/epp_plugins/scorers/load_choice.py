"""What scorers that rate load have in common: which load, and how it is compared."""

from collections.abc import Sequence
from typing import cast

from epp.plugin import Endpoint, Load, PluginParams


class LoadParams(PluginParams):
    """The parameters of scorers that rate load."""

    raw: bool = False
    """Rate the last metrics page as it was, as the Go pickers do."""

    def loads(self, candidates: Sequence[Endpoint]) -> list[Load]:
        """Return the load of each candidate."""
        return [endpoint.scraped if self.raw else endpoint.load for endpoint in candidates]


def rate_lowest_best(counts: Sequence[int | None]) -> list[float]:
    """Return (max - count) / (max - min) for each, 1 for all when they are equal; `with_unknown` for those unknown."""
    known = cast("Sequence[int]", counts) if None not in counts else [count for count in counts if count is not None]
    most, least = max(known, default=0), min(known, default=0)
    spread = most - least
    if len(known) == len(counts):
        return [(most - count) / spread for count in known] if spread else [1.0] * len(known)
    return with_unknown([None if count is None else (most - count) / spread if spread else 1.0 for count in counts])


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
