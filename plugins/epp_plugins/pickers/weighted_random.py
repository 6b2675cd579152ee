"""``weighted-random-picker``: the higher the total, the likelier."""

from collections.abc import Sequence

from epp.plugin import Endpoint, InferenceRequest, PluginContext
from epp_plugins.pickers.choice import PickerParams, highest


class WeightedRandomPicker:
    """Picks in proportion to the totals.

    By A-Res (Efraimidis and Spirakis 2006): each candidate draws u ** (1 / total) with u from 0 to 1, and the highest
    draws win. So one total twice as high is picked twice as often, and several are picked without repetition.
    """

    def __init__(self, params: PickerParams, context: PluginContext) -> None:
        self._count = params.count
        self._random = context.random

    def pick(
        self, request: InferenceRequest, candidates: Sequence[Endpoint], totals: Sequence[float]
    ) -> Sequence[Endpoint]:
        """Return different ones; any where all totals are 0, and never one with 0 before one with more."""
        order = self._random.sample(range(len(candidates)), len(candidates))
        keys = [self._draw(totals[i]) for i in order]
        return highest([candidates[i] for i in order], keys, self._count)

    def _draw(self, total: float) -> float:
        return self._random.random() ** (1 / total) if total > 0 else -1.0
