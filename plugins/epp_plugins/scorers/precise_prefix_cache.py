"""``precise-prefix-cache-scorer``: `precise-prefix-cache-producer` and `prefix-cache-scorer` in one; deprecated."""

from collections.abc import Sequence

from epp.plugin import Endpoint, InferenceRequest, PluginContext
from epp_plugins.kvevents.params import Params
from epp_plugins.producers.precise_prefix_cache import PrecisePrefixCacheProducer
from epp_plugins.scorers import prefix_cache


class PrecisePrefixCacheScorer(PrecisePrefixCacheProducer):
    """Knows from the engines which endpoint has which prompt beginning, and rates by that."""

    def __init__(self, params: Params, context: PluginContext) -> None:
        super().__init__(params, context)
        self._scorer = prefix_cache.PrefixCacheScorer(prefix_cache.Params(producer=context.name))

    def score(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> list[float]:
        """Return 0..1 for each candidate; all 0 when the prompt is unknown."""
        return self._scorer.score(request, candidates)
