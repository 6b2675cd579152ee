"""``probabilistic-admitter``: the fuller the pool, the more of the requests that can be done without are refused."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from epp.plugin import DropReason, Endpoint, InferenceRequest, PluginContext, PluginParams, Rejection

Positive = Annotated[float, Meta(gt=0)]


class Params(PluginParams):
    """Names and defaults of the Go pickers."""

    queue_depth_threshold: Positive = 5.0
    """Waiting requests of an endpoint that is full."""
    kv_cache_util_threshold: Annotated[float, Meta(gt=0, le=1)] = 0.8
    """Share of its KV cache, likewise."""
    power: Positive = 5.0
    k: Positive = 300.0
    """The probability is k times the saturation to this power, and at most 1."""


class ProbabilisticAdmitter:
    """Refuses with the probability min(1, k * saturation ** power), where saturation is the mean over the endpoints.

    With the defaults: 2 % at a saturation of 0.15, 73 % at 0.3, all from 0.32 on.
    """

    def __init__(self, params: Params, context: PluginContext) -> None:
        self._params = params
        self._random = context.random

    def admit(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> None:
        """Return for a request that may go on; one of priority 0 or more always may."""
        if request.priority >= 0:
            return
        saturation = sum(map(self._fullness, candidates)) / len(candidates)
        if self._random.random() < self._params.k * saturation**self._params.power:
            message = f"the pool is {saturation:.0%} full, and this request can be done without"
            raise Rejection(DropReason.SATURATED, message)

    def _fullness(self, endpoint: Endpoint) -> float:
        waiting = (endpoint.load.waiting or 0) / self._params.queue_depth_threshold
        return max(waiting, (endpoint.load.kv_cache_ratio or 0.0) / self._params.kv_cache_util_threshold)
