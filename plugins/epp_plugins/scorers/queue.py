"""``queue-scorer``: the shortest queue is best."""

from collections.abc import Sequence

from epp.plugin import Endpoint, InferenceRequest
from epp_plugins.scorers.load_choice import LoadParams


class QueueScorer:
    """Rates by waiting requests, relative to the other candidates: (max - waiting) / (max - min).

    Waiting are this picker's own requests before their first byte, and what the last metrics page shows beside them.

    All candidates with a known queue rate 1 when their queues are equal. A candidate whose queue is not known rates 0:
    an endpoint with a dead metrics page must not look like an idle one.
    """

    def __init__(self, params: LoadParams) -> None:
        self._loads = params.loads

    def score(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> list[float]:
        """Return 0..1 for each candidate."""
        waiting = [load.waiting for load in self._loads(candidates)]
        known = [count for count in waiting if count is not None]
        if not known:
            return [0.0] * len(candidates)
        longest, shortest = max(known), min(known)
        spread = longest - shortest
        if not spread:
            return [0.0 if count is None else 1.0 for count in waiting]
        return [0.0 if count is None else (longest - count) / spread for count in waiting]
