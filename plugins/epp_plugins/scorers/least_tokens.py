"""``least-tokens-scorer``: the endpoint with the least left to compute is best."""

from collections.abc import Sequence
from typing import ClassVar

from epp.plugin import Endpoint, InferenceRequest
from epp_plugins.scorers.load_choice import rate_lowest_best


class LeastTokensScorer:
    """Rates by tokens that are still to be computed there, this request's own uncached ones among them.

    Relative to the other candidates, so it needs no threshold; `token-load-scorer` compares with one.
    """

    rates: ClassVar[Sequence[str]] = ("in_flight",)

    def score(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> list[float]:
        """Return (max - tokens) / (max - min) for each; 1 for all when they are equal."""
        return rate_lowest_best([one.in_flight.tokens + request.uncached_tokens(one) for one in candidates])
