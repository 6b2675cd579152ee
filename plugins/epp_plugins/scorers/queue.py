"""``queue-scorer``: the shortest queue is best."""

from collections.abc import Sequence
from typing import ClassVar

from epp.plugin import Endpoint, InferenceRequest
from epp_plugins.scorers.load_choice import LoadParams, rate_lowest_best


class QueueScorer:
    """Rates by waiting requests, relative to the other candidates.

    Waiting are this picker's own requests before their first byte, and what the last metrics page shows beside them.
    """

    rates: ClassVar[Sequence[str]] = ("waiting",)
    is_bounded: ClassVar[bool] = True

    def __init__(self, params: LoadParams) -> None:
        self._raw = params.raw

    def score(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> list[float]:
        """Return 0..1 for each candidate."""
        if self._raw:
            return rate_lowest_best([one.scraped.waiting for one in candidates])
        return rate_lowest_best([one.load.waiting for one in candidates])
