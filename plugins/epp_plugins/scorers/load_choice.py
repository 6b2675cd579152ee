"""What scorers that rate load have in common: which load, and how it is compared."""

from collections.abc import Sequence

from epp.plugin import Endpoint, Load, PluginParams


class LoadParams(PluginParams):
    """The parameters of scorers that rate load."""

    raw: bool = False
    """Rate the last metrics page as it was, as the Go pickers do."""

    def loads(self, candidates: Sequence[Endpoint]) -> list[Load]:
        """Return the load of each candidate."""
        return [endpoint.scraped if self.raw else endpoint.load for endpoint in candidates]


def rate_lowest_best(counts: Sequence[int | None]) -> list[float]:
    """Return (max - count) / (max - min) for each, 1 for all when they are equal.

    An unknown one rates 0: an endpoint with a dead metrics page must not look like an idle one.
    """
    known = [count for count in counts if count is not None]
    if not known:
        return [0.0] * len(counts)
    most, least = max(known), min(known)
    spread = most - least
    if not spread:
        return [0.0 if count is None else 1.0 for count in counts]
    return [0.0 if count is None else (most - count) / spread for count in counts]
