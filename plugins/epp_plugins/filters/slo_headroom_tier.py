"""``slo-headroom-tier-filter``: keeps the endpoints that will be fast enough."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Meta

from epp.plugin import Attribute, Endpoint, InferenceRequest, LatencyPredictions, PluginContext, PluginParams


class Params(PluginParams):
    """Names and defaults of the Go pickers."""

    epsilon_explore_neg: Annotated[float, Meta(ge=0, le=1)] = 0.01
    """How often those that are too slow are kept in place of the others, to see whether they still are."""
    latency_prediction_info_producer_name: str | None = None
    """Accepted for files of the Go pickers."""


class SloHeadroomTierFilter:
    """Keeps one of two tiers: fast enough for what the request asks for, or too slow. Unknown ones are in both."""

    consumes: ClassVar[Sequence[type[Attribute]]] = (LatencyPredictions,)

    def __init__(self, params: Params, context: PluginContext) -> None:
        self._epsilon = params.epsilon_explore_neg
        self._random = context.random

    def filter(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """Return the fast tier unless it is empty; once in a while the slow one."""
        predictions = request.attribute(LatencyPredictions)
        if predictions is None:
            return candidates
        headrooms = [predictions.headrooms(endpoint) for endpoint in candidates]
        fast = [one for one, rooms in zip(candidates, headrooms, strict=True) if rooms is None or min(rooms) >= 0]
        slow = [one for one, rooms in zip(candidates, headrooms, strict=True) if rooms is None or min(rooms) < 0]
        if not fast or not slow:
            return candidates
        return slow if self._epsilon and self._random.random() < self._epsilon else fast
