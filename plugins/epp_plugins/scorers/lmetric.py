"""``lmetric-scorer``: new prompt tokens times batch size, the least is best."""

from collections.abc import Sequence
from typing import ClassVar

from epp.plugin import Endpoint, InferenceRequest
from epp_plugins.scorers.load_choice import rate_lowest_best


class LmetricScorer:
    """Rates by what a request costs an endpoint: the tokens to compute there, times the requests that they hold up.

    A product needs no weights between cache and load: a long match on a busy endpoint and a short one on an idle one
    compare by what they cost.
    """

    rates: ClassVar[Sequence[str]] = ("in_flight", "waiting", "running")

    def score(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> list[float]:
        """Return (max - cost) / (max - min) for each; 1 for all when they are equal."""
        return rate_lowest_best([_cost(request, endpoint) for endpoint in candidates])


def _cost(request: InferenceRequest, endpoint: Endpoint) -> int:
    new_tokens = endpoint.in_flight.tokens + request.uncached_tokens(endpoint)
    requests = (endpoint.load.waiting or 0) + (endpoint.load.running or 0)
    return new_tokens * (requests + 1)
