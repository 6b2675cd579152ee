"""Recursive least squares with forgetting: one linear model, learned one sample at a time."""

from collections.abc import Sequence

FORGETTING = 0.995
"""What a sample counts for when the next one is there: half of it after some 140."""
FIRST_COVARIANCE = 1000.0
MOST_COVARIANCE = 1e6
"""Features that do not change would let it grow without bound."""


class Line:
    """Learns ``y = sum(weights * features)``. A sample costs some 10 us with three features.

    Source: Haykin, Adaptive Filter Theory, chapter on the RLS algorithm (exponentially weighted).
    """

    def __init__(self, features: int) -> None:
        self._weights = [0.0] * features
        self._covariance = [[FIRST_COVARIANCE * (i == j) for j in range(features)] for i in range(features)]
        self.samples = 0

    def predict(self, features: Sequence[float]) -> float:
        """Return what is expected, never less than 0."""
        return max(0.0, sum(weight * value for weight, value in zip(self._weights, features, strict=True)))

    def learn(self, features: Sequence[float], seen: float) -> None:
        """Take note of a sample."""
        size = range(len(features))
        projected = [sum(row[j] * features[j] for j in size) for row in self._covariance]
        gain = [value / (FORGETTING + sum(features[j] * projected[j] for j in size)) for value in projected]
        error = seen - sum(self._weights[j] * features[j] for j in size)
        self._weights = [self._weights[i] + gain[i] * error for i in size]
        self._covariance = [
            [min(MOST_COVARIANCE, (self._covariance[i][j] - gain[i] * projected[j]) / FORGETTING) for j in size]
            for i in size
        ]
        self.samples += 1
