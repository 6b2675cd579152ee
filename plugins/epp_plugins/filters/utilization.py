"""``utilization-filter``: leaves out endpoints that are too busy."""

import enum
from collections.abc import Callable, Mapping, Sequence

import msgspec

from epp.plugin import Endpoint, InferenceRequest, PluginParams


class Metric(enum.Enum):
    """What can be limited."""

    ACTIVE_REQUESTS = "active-requests"
    RUNNING_REQUESTS = "running-requests"
    WAITING_QUEUE = "waiting-queue"
    KV_CACHE_UTILIZATION = "kv-cache-utilization"


class Condition(PluginParams):
    """One limit."""

    metric: Metric
    max_value: float


class Params(PluginParams):
    """Names and defaults of the Go pickers."""

    conditions: list[Condition] = msgspec.field(default_factory=list)
    """An endpoint above any of these is left out."""
    fallback_on_empty: bool = False
    """Keep all when none is left."""


_READ: Mapping[Metric, Callable[[Endpoint], float | None]] = {
    Metric.ACTIVE_REQUESTS: lambda endpoint: endpoint.in_flight.requests,
    Metric.RUNNING_REQUESTS: lambda endpoint: endpoint.load.running,
    Metric.WAITING_QUEUE: lambda endpoint: endpoint.load.waiting,
    Metric.KV_CACHE_UTILIZATION: lambda endpoint: endpoint.load.kv_cache_ratio,
}


class UtilizationFilter:
    """Keeps the candidates that are within every limit; what is not known of one is within."""

    def __init__(self, params: Params) -> None:
        self._limits = [(_READ[condition.metric], condition.max_value) for condition in params.conditions]
        self._keeps_all_when_empty = params.fallback_on_empty

    def filter(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """Return those that are not too busy."""
        kept = [endpoint for endpoint in candidates if self._is_within(endpoint)]
        return candidates if not kept and self._keeps_all_when_empty else kept

    def _is_within(self, endpoint: Endpoint) -> bool:
        values = ((read(endpoint), most) for read, most in self._limits)
        return all(value is None or value <= most for value, most in values)
