"""``load-aware-scorer``: an empty queue is half as good as it gets, a long one is worth nothing."""

from collections.abc import Sequence
from typing import ClassVar

from epp.plugin import Endpoint, InferenceRequest
from epp_plugins.scorers.load_choice import LoadParams, with_unknown

DEFAULT_THRESHOLD = 128


class Params(LoadParams):
    """Names and defaults of the Go pickers."""

    threshold: int = DEFAULT_THRESHOLD
    """Waiting requests from which on an endpoint rates 0; the default for one that is not above 0."""


class LoadAwareScorer:
    """Rates 0.5 * (1 - waiting / threshold), not below 0, whatever the other candidates have; their mean if unknown."""

    rates: ClassVar[Sequence[str]] = ("waiting",)

    def __init__(self, params: Params) -> None:
        self._loads = params.loads
        self._threshold = params.threshold if params.threshold > 0 else DEFAULT_THRESHOLD

    def score(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> list[float]:
        """Return 0..0.5 for each candidate."""
        return with_unknown(
            [
                None if load.waiting is None else 0.5 * (1 - min(load.waiting, self._threshold) / self._threshold)
                for load in self._loads(candidates)
            ]
        )
