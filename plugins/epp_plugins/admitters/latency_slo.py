"""``latency-slo-admitter``: refuses what can be done without and would come too late anyway."""

from collections.abc import Sequence
from typing import ClassVar

from epp.plugin import (
    Attribute,
    DropReason,
    Endpoint,
    InferenceRequest,
    LatencyPredictions,
    PluginParams,
    Rejection,
)

COLD_KV_RATIO = 0.02
"""Below this share of its KV cache an endpoint has nothing to do, whatever was predicted of it."""


class Params(PluginParams):
    """Names of the Go pickers."""

    latency_prediction_info_producer_name: str | None = None
    """Accepted for files of the Go pickers."""


class LatencySloAdmitter:
    """Refuses requests of a priority below 0 that say how fast they have to be, when no endpoint will be."""

    consumes: ClassVar[Sequence[type[Attribute]]] = (LatencyPredictions,)

    def __init__(self, params: Params) -> None:
        """Take the parameters, which change nothing."""

    def admit(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> None:
        """Return for a request that may go on."""
        predictions = request.attribute(LatencyPredictions)
        if request.priority >= 0 or predictions is None or not (predictions.ttft_slo_s or predictions.tpot_slo_s):
            return
        if not any(_may_do(endpoint, predictions) for endpoint in candidates):
            message = "no endpoint is fast enough for what the request asks for, and it can be done without"
            raise Rejection(DropReason.SATURATED, message)


def _may_do(endpoint: Endpoint, predictions: LatencyPredictions) -> bool:
    """Tell whether an endpoint is fast enough, or has next to nothing to do, or is not known yet."""
    headrooms = predictions.headrooms(endpoint)
    is_idle = not endpoint.in_flight.requests or (endpoint.load.kv_cache_ratio or 0.0) < COLD_KV_RATIO
    if headrooms is None or is_idle:
        return True
    ttft_s, tpot_s = headrooms
    return (not predictions.ttft_slo_s or ttft_s >= 0) and (not predictions.tpot_slo_s or tpot_s >= 0)
