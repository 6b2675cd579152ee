"""Recursive least squares with forgetting: one linear model, learned one sample at a time."""

import math
from collections.abc import Sequence

FORGETTING = 0.995
"""What a sample counts for when the next one is there: half of it after some 140."""
FIRST_COVARIANCE = 1000.0
MOST_TRACE = 10_000.0
"""Of the covariance: features that do not change would let it grow without bound, so from there on nothing is forgotten
until they do."""


class Line:
    """Learns ``y = sum(weights * features)``. A sample costs some 10 us with three features.

    Source: Haykin, Adaptive Filter Theory, chapter on the RLS algorithm (exponentially weighted).
    """

    def __init__(self, features: int) -> None:
        self._weights = [0.0] * features
        self._covariance = _unknown(features)
        self.samples = 0

    def predict(self, features: Sequence[float]) -> float:
        """Return what is expected, never less than 0."""
        return max(0.0, sum(weight * value for weight, value in zip(self._weights, features, strict=True)))

    def learn(self, features: Sequence[float], seen: float) -> None:
        """Take note of a sample; one that is no number is passed over."""
        if not (math.isfinite(seen) and all(map(math.isfinite, features))):
            return
        size = range(len(features))
        trace = sum(self._covariance[i][i] for i in size)
        forgetting = FORGETTING if trace < MOST_TRACE else 1.0
        projected = [sum(row[j] * features[j] for j in size) for row in self._covariance]
        gain = [value / (forgetting + sum(features[j] * projected[j] for j in size)) for value in projected]
        error = seen - sum(self._weights[j] * features[j] for j in size)
        self._weights = [self._weights[i] + gain[i] * error for i in size]
        changed = [[(self._covariance[i][j] - gain[i] * projected[j]) / forgetting for j in size] for i in size]
        # Rounding makes it less and less symmetric; then it is no covariance any more.
        self._covariance = [[(changed[i][j] + changed[j][i]) / 2 for j in size] for i in size]
        self.samples += 1
        if not all(0 < self._covariance[i][i] < math.inf and math.isfinite(self._weights[i]) for i in size):
            self._weights, self._covariance, self.samples = [0.0] * len(features), _unknown(len(features)), 0


def _unknown(features: int) -> list[list[float]]:
    """Return the covariance of weights of which nothing is known."""
    return [[FIRST_COVARIANCE * (i == j) for j in range(features)] for i in range(features)]
