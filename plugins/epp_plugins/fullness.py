"""How full endpoints are: 1.0 where they should get no more."""

from collections.abc import Callable, Sequence
from typing import Annotated

from msgspec import Meta

from epp.plugin import Endpoint, PluginParams


class Thresholds(PluginParams):
    """When an endpoint is full, by what its engine tells. Names and defaults of the Go pickers."""

    queue_depth_threshold: Annotated[float, Meta(gt=0)] = 5.0
    """Waiting requests of an endpoint that is full."""
    kv_cache_util_threshold: Annotated[float, Meta(gt=0, le=1)] = 0.8
    """Share of its KV cache, likewise."""

    def fullness(self, endpoint: Endpoint) -> float:
        """Return max(waiting / threshold, KV cache / threshold); what is not known counts as nothing."""
        waiting = (endpoint.load.waiting or 0) / self.queue_depth_threshold
        return max(waiting, (endpoint.load.kv_cache_ratio or 0.0) / self.kv_cache_util_threshold)


def saturation_of(candidates: Sequence[Endpoint], fullness: Callable[[Endpoint], float]) -> float:
    """Return the mean over a pool: 0.0 idle, 1.0 and more full, and 1.0 for one without endpoints."""
    return sum(map(fullness, candidates)) / len(candidates) if candidates else 1.0
