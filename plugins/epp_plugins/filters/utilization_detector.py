"""``utilization-detector``: how full the pool is by queues and KV caches; as a filter, keeps those that are not."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from epp.plugin import Endpoint, InferenceRequest, PluginParams

Positive = Annotated[float, Meta(gt=0)]


class Params(PluginParams):
    """Names and defaults of the Go pickers."""

    queue_depth_threshold: Positive = 5.0
    """Waiting requests of an endpoint that is full."""
    kv_cache_util_threshold: Annotated[float, Meta(gt=0, le=1)] = 0.8
    """Share of its KV cache, likewise."""
    metrics_staleness_threshold: str | None = None
    """Accepted for files of the Go pickers: load that is not confirmed fades by itself."""
    headroom: Annotated[float, Meta(ge=0)] = 0.0
    """As a filter, by what share an endpoint may be above the thresholds."""


class UtilizationDetector:
    """Saturation of the pool: the mean over its endpoints of max(waiting / threshold, KV cache / threshold)."""

    def __init__(self, params: Params) -> None:
        self._params = params

    def saturation(self, candidates: Sequence[Endpoint]) -> float:
        """Return 0.0 for an idle pool, 1.0 and more for a full one, or one without endpoints."""
        if not candidates:
            return 1.0
        return sum(map(self._fullness, candidates)) / len(candidates)

    def filter(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """Return the endpoints below both thresholds; all when there is none."""
        most = 1 + self._params.headroom
        return [endpoint for endpoint in candidates if self._fullness(endpoint) < most] or candidates

    def _fullness(self, endpoint: Endpoint) -> float:
        waiting = (endpoint.load.waiting or 0) / self._params.queue_depth_threshold
        return max(waiting, (endpoint.load.kv_cache_ratio or 0.0) / self._params.kv_cache_util_threshold)
