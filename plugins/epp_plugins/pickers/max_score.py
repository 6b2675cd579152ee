"""``max-score-picker``: the highest total wins."""

from collections.abc import Sequence

from epp.plugin import Endpoint, InferenceRequest, PluginContext
from epp_plugins.pickers.choice import PickerParams, highest


class MaxScorePicker:
    """Picks the candidates with the highest totals; of equal ones, random ones."""

    def __init__(self, params: PickerParams, context: PluginContext) -> None:
        self._count = params.count
        self._random = context.random

    def pick(
        self, request: InferenceRequest, candidates: Sequence[Endpoint], totals: Sequence[float]
    ) -> Sequence[Endpoint]:
        """Return the best, the very best first."""
        if self._count == 1:
            most = max(totals)
            if totals.count(most) == 1:
                return [candidates[totals.index(most)]]
            best = [endpoint for endpoint, total in zip(candidates, totals, strict=True) if total == most]
            return [self._random.choice(best)]
        order = self._random.sample(range(len(candidates)), len(candidates))
        return highest([candidates[i] for i in order], [totals[i] for i in order], self._count)
