"""``random-picker``: any candidate, whatever its total."""

from collections.abc import Sequence

from epp.plugin import Endpoint, InferenceRequest, PluginContext
from epp_plugins.pickers.choice import PickerParams


class RandomPicker:
    """Picks uniformly. The baseline that every other way of routing has to beat."""

    def __init__(self, params: PickerParams, context: PluginContext) -> None:
        self._count = params.count
        self._random = context.random

    def pick(
        self, request: InferenceRequest, candidates: Sequence[Endpoint], totals: Sequence[float]
    ) -> Sequence[Endpoint]:
        """Return different ones in any order."""
        return self._random.sample(candidates, min(self._count, len(candidates)))
