"""``prefix-cache-affinity-filter``: sticky until saturated."""

import enum
from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from epp.plugin import (
    Attribute,
    ConfigurationError,
    Endpoint,
    InferenceRequest,
    PluginContext,
    PluginParams,
    PrefixMatches,
    Problem,
)


class TtftSource(enum.Enum):
    """How the time to first token is guessed."""

    PREFILL_THROUGHPUT = "prefillThroughput"
    LATENCY_PREDICTOR = "latencyPredictor"


class Params(PluginParams):
    """Names and defaults of the Go pickers."""

    affinity_threshold: Annotated[float, Meta(ge=0, le=1)] = 0.8
    """Share of the prompt from which on an endpoint is sticky."""
    exploration_probability: Annotated[float, Meta(ge=0, le=1)] = 0.0
    """How often all candidates are kept all the same."""
    max_ttft_penalty_ms: Annotated[float, Meta(ge=0)] = msgspec.field(default=18_000.0, name="maxTTFTPenaltyMs")
    """How much longer the best sticky endpoint may take to its first token than the best other one; 0: any time."""
    ttft_source: TtftSource = TtftSource.PREFILL_THROUGHPUT
    """How that is guessed."""
    peak_prefill_throughput: Annotated[float, Meta(gt=0)] = 15_928.0
    """Prompt tokens that an endpoint computes in a second."""


class PrefixCacheAffinityFilter:
    """Keeps the endpoints that have most of the prompt, unless their queues make that slower than computing it anew."""

    consumes: ClassVar[Sequence[type[Attribute]]] = (PrefixMatches,)

    def __init__(self, params: Params, context: PluginContext) -> None:
        if params.ttft_source is TtftSource.LATENCY_PREDICTOR:
            message = "latencyPredictor is not there; use prefillThroughput"
            raise ConfigurationError([Problem("ttftSource", message)])
        self._params = params
        self._random = context.random

    def filter(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """Return the sticky endpoints; all candidates when there are none, or when they are too slow."""
        matches, params = request.attribute(PrefixMatches), self._params
        if matches is None or not matches.total_tokens:
            return candidates
        sticky = [one for one in candidates if matches.ratio(one) >= params.affinity_threshold]
        if not sticky or len(sticky) == len(candidates):
            return candidates
        if params.exploration_probability and self._random.random() < params.exploration_probability:
            return candidates
        others = [one for one in candidates if matches.ratio(one) < params.affinity_threshold]
        penalty_ms = min(map(self._ttft_ms, sticky)) - min(map(self._ttft_ms, others))
        return candidates if 0 < params.max_ttft_penalty_ms < penalty_ms else sticky

    def _ttft_ms(self, endpoint: Endpoint) -> float:
        """Return how long the prompts take that an endpoint has been sent and has not answered."""
        return endpoint.in_flight.uncached_tokens / self._params.peak_prefill_throughput * 1000
