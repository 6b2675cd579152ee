"""``utilization-detector``: how full the pool is by queues and KV caches; as a filter, keeps those that are not."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from epp.plugin import Endpoint, InferenceRequest
from epp_plugins.fullness import Thresholds, saturation_of


class Params(Thresholds):
    """Names and defaults of the Go pickers."""

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
        return saturation_of(candidates, self._params.fullness)

    def filter(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """Return the endpoints below both thresholds; all when there is none."""
        most = 1 + self._params.headroom
        return [endpoint for endpoint in candidates if self._params.fullness(endpoint) < most] or candidates
