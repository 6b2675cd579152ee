"""``power-of-two-picker``: the better of two random candidates."""

from collections.abc import Sequence

from epp.plugin import Endpoint, InferenceRequest, PluginContext

CHOICES = 2


class PowerOfTwoPicker:
    """Picks two candidates at random, and of these the one with the higher total.

    Several pickers that see the same, late numbers do not all send to the same endpoint then (Mitzenmacher 2001).
    """

    def __init__(self, context: PluginContext) -> None:
        self._random = context.random

    def pick(
        self, request: InferenceRequest, candidates: Sequence[Endpoint], totals: Sequence[float]
    ) -> Sequence[Endpoint]:
        """Return one endpoint; of two with the same total, either."""
        drawn = self._random.sample(range(len(candidates)), min(CHOICES, len(candidates)))
        return [candidates[max(drawn, key=lambda i: totals[i])]]
