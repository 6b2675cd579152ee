"""``concurrency-detector``: how full the pool is by this picker's own requests; as a filter, keeps those below."""

import enum
from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from epp.plugin import Endpoint, InferenceRequest, PluginParams
from epp_plugins.fullness import saturation_of

Count = Annotated[int, Meta(ge=1)]


class Mode(enum.Enum):
    """What is counted."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    HYBRID = "hybrid"


class Params(PluginParams):
    """Names and defaults of the Go pickers."""

    max_concurrency: Count = 100
    """Requests in flight to an endpoint that is full."""
    concurrency_mode: Mode = Mode.REQUESTS
    """``requests``, ``tokens``, or ``hybrid``: the fuller of both."""
    max_token_concurrency: Count = 1_000_000
    """Tokens to compute at an endpoint that is full."""
    headroom: Annotated[float, Meta(ge=0)] = 0.0
    """As a filter, by what share an endpoint may be above that."""
    in_flight_load_producer_name: str | None = None
    """Accepted for files of the Go pickers; requests in flight are always counted."""


class ConcurrencyDetector:
    """Saturation of the pool: what is in flight, as a share of what its endpoints may have."""

    def __init__(self, params: Params) -> None:
        self._params = params

    def saturation(self, candidates: Sequence[Endpoint]) -> float:
        """Return 0.0 for an idle pool, 1.0 and more for a full one, or one without endpoints."""
        return saturation_of(candidates, self._fullness)

    def filter(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """Return the endpoints that are not full; none when all are, and the request is refused."""
        most = 1 + self._params.headroom
        return [endpoint for endpoint in candidates if self._fullness(endpoint) < most]

    def _fullness(self, endpoint: Endpoint) -> float:
        requests = endpoint.in_flight.requests / self._params.max_concurrency
        tokens = endpoint.in_flight.tokens / self._params.max_token_concurrency
        match self._params.concurrency_mode:
            case Mode.REQUESTS:
                return requests
            case Mode.TOKENS:
                return tokens
            case Mode.HYBRID:
                return max(requests, tokens)
