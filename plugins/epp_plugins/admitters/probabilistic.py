"""``probabilistic-admitter``: the fuller the pool, the more of the requests that can be done without are refused."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from epp.plugin import DropReason, Endpoint, InferenceRequest, PluginContext, Rejection
from epp_plugins.fullness import Thresholds, saturation_of

Positive = Annotated[float, Meta(gt=0)]


class Params(Thresholds):
    """Names and defaults of the Go pickers."""

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
        saturation = saturation_of(candidates, self._params.fullness)
        if self._random.random() < self._params.k * saturation**self._params.power:
            message = f"the pool is {saturation:.0%} full, and this request can be done without"
            raise Rejection(DropReason.SATURATED, message)
