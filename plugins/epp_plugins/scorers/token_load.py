"""``token-load-scorer``: the endpoint with the least prompt still to compute is best."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Meta

from epp.plugin import Attribute, Endpoint, InferenceRequest, PluginParams, PrefixMatches


class Params(PluginParams):
    """Names and defaults of the Go pickers."""

    queue_threshold_tokens: Annotated[int, Meta(ge=1)] = 4_194_304
    """Tokens from which on an endpoint rates 0."""
    in_flight_load_producer_name: str | None = None
    """Accepted for files of the Go pickers; tokens in flight are always known here."""


class TokenLoadScorer:
    """Rates 1 - tokens / threshold, not below 0.

    Tokens are the uncached ones of this picker's requests without a first byte, and those of this request; with
    `inflight-load-producer` and its ``addEstimatedOutputTokens``, those of the answers too.
    """

    rates: ClassVar[Sequence[str]] = ("in_flight",)

    consumes: ClassVar[Sequence[type[Attribute]]] = (PrefixMatches,)

    def __init__(self, params: Params) -> None:
        self._threshold = params.queue_threshold_tokens

    def score(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> list[float]:
        """Return 0..1 for each candidate."""
        tokens = (endpoint.in_flight.tokens + request.uncached_tokens(endpoint) for endpoint in candidates)
        return [1 - min(count, self._threshold) / self._threshold for count in tokens]
