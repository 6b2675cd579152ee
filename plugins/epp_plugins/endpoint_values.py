"""Numbers of an endpoint by name, for plugins whose configuration names one."""

from collections.abc import Callable, Mapping

from epp.plugin import Endpoint

_VALUES: Mapping[str, Callable[[Endpoint], float | None]] = {
    "WaitingQueueSize": lambda endpoint: endpoint.load.waiting,
    "RunningRequestsSize": lambda endpoint: endpoint.load.running,
    "KVCacheUsagePercent": lambda endpoint: endpoint.load.kv_cache_ratio,
    "CacheBlockSize": lambda endpoint: endpoint.load.block_size_tokens,
    "CacheNumBlocks": lambda endpoint: endpoint.load.block_count,
    "InFlightRequests": lambda endpoint: endpoint.in_flight.requests,
    "InFlightTokens": lambda endpoint: endpoint.in_flight.tokens,
}
"""Those of the metrics page under the names of the Go pickers."""


def value_of(endpoint: Endpoint, key: str) -> float | None:
    """Return a number of an endpoint: one of the usual ones, or a custom metric; ``None`` when it has none."""
    read = _VALUES.get(key)
    return endpoint.load.custom.get(key) if read is None else read(endpoint)
