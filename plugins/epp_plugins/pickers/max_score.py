"""``max-score-picker``: the highest total wins."""

from collections.abc import Sequence

from epp.plugin import Endpoint, InferenceRequest, PluginContext


class MaxScorePicker:
    """Picks the candidate with the highest total; of several, a random one."""

    def __init__(self, context: PluginContext) -> None:
        self._random = context.random

    def pick(
        self, request: InferenceRequest, candidates: Sequence[Endpoint], totals: Sequence[float]
    ) -> Sequence[Endpoint]:
        """Return one endpoint."""
        highest = max(totals)
        best = [endpoint for endpoint, total in zip(candidates, totals, strict=True) if total == highest]
        return [best[0] if len(best) == 1 else self._random.choice(best)]
