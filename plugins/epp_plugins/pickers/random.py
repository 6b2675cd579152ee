"""``random-picker``: any candidate, whatever its total."""

from collections.abc import Sequence

from epp.plugin import Endpoint, InferenceRequest, PluginContext


class RandomPicker:
    """Picks uniformly. The baseline that every other way of routing has to beat."""

    def __init__(self, context: PluginContext) -> None:
        self._random = context.random

    def pick(
        self, request: InferenceRequest, candidates: Sequence[Endpoint], totals: Sequence[float]
    ) -> Sequence[Endpoint]:
        """Return one endpoint."""
        return [self._random.choice(candidates)]
