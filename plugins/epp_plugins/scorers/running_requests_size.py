"""``running-requests-size-scorer``: the smallest running batch is best."""

from collections.abc import Sequence
from typing import ClassVar

from epp.plugin import Endpoint, InferenceRequest
from epp_plugins.scorers.load_choice import LoadParams, rate_lowest_best


class RunningRequestsSizeScorer:
    """Rates by running requests, relative to the other candidates.

    Running are this picker's own requests after their first byte, and what the last metrics page shows beside them.
    """

    rates: ClassVar[Sequence[str]] = ("running",)
    is_bounded: ClassVar[bool] = True

    def __init__(self, params: LoadParams) -> None:
        self._raw = params.raw

    def score(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> list[float]:
        """Return 0..1 for each candidate."""
        if self._raw:
            return rate_lowest_best([one.scraped.running for one in candidates])
        return rate_lowest_best([one.load.running for one in candidates])
