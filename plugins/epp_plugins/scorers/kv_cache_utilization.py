"""``kv-cache-utilization-scorer``: the emptiest KV cache is best."""

from collections.abc import Sequence

from epp.plugin import Endpoint, InferenceRequest


class KvCacheUtilizationScorer:
    """Rates by free KV cache: 1 - share in use. A candidate whose share is not known rates 0."""

    def score(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> list[float]:
        """Return 0..1 for each candidate."""
        ratios = (endpoint.load.kv_cache_ratio for endpoint in candidates)
        return [0.0 if ratio is None else 1.0 - ratio for ratio in ratios]
