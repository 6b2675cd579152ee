"""``kv-cache-utilization-scorer``: the emptiest KV cache is best."""

from collections.abc import Sequence
from typing import ClassVar

from epp.plugin import Endpoint, InferenceRequest
from epp_plugins.scorers.load_choice import LoadParams, with_unknown


class KvCacheUtilizationScorer:
    """Rates by free KV cache: 1 - share in use. A candidate whose share is not known rates the mean of the others.

    In use is what the last metrics page says, and the uncached prompts that were sent since.
    """

    rates: ClassVar[Sequence[str]] = ("kv_cache_ratio",)
    is_bounded: ClassVar[bool] = True

    def __init__(self, params: LoadParams) -> None:
        self._raw = params.raw

    def score(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> list[float]:
        """Return 0..1 for each candidate."""
        try:
            if self._raw:
                return [1.0 - one.scraped.kv_cache_ratio for one in candidates]  # type: ignore[operator]
            return [1.0 - one.load.kv_cache_ratio for one in candidates]  # type: ignore[operator]
        except TypeError:  # one is None; looking for it first would take as long again
            ratios = [(one.scraped if self._raw else one.load).kv_cache_ratio for one in candidates]
            return with_unknown([None if ratio is None else 1.0 - ratio for ratio in ratios])
