"""``endpoint-attribute-scorer``: rates by any number that is known of endpoints."""

import enum
from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from epp.plugin import ConfigurationError, Endpoint, InferenceRequest, PluginParams, Problem
from epp_plugins.endpoint_values import value_of


class AlgorithmType(enum.Enum):
    """Which end is best."""

    LOWER = "linear_lower_is_better"
    HIGHER = "linear_higher_is_better"


class FixedRange(PluginParams):
    """Bounds that do not depend on the candidates."""

    min: float
    max: float


class AdaptiveRange(PluginParams):
    """From the lowest to the highest number among the candidates."""


class Normalization(PluginParams):
    """What 0 and 1 stand for. One of the two; the range of the candidates when neither is given."""

    fixed_range: FixedRange | None = None
    adaptive_range: AdaptiveRange | None = None


class Algorithm(PluginParams):
    """How a number becomes a rating."""

    type: AlgorithmType
    normalization: Normalization = msgspec.field(default_factory=Normalization)


class Params(PluginParams):
    """Names of the Go pickers."""

    attribute_key: Annotated[str, Meta(min_length=1)]
    """Such as ``WaitingQueueSize``, or the ``attributeKey`` of a custom metric."""
    algorithm: Algorithm
    producer: str | None = None
    """Accepted for files of the Go pickers; the names are those of `core-metrics-extractor`."""


class EndpointAttributeScorer:
    """Rates linearly between two bounds; what is beyond them is 0 or 1."""

    def __init__(self, params: Params) -> None:
        """Raise `ConfigurationError` for bounds that exclude each other."""
        normalization = params.algorithm.normalization
        self._key = params.attribute_key
        self._is_lower_better = params.algorithm.type is AlgorithmType.LOWER
        self._range = normalization.fixed_range
        if self._range is not None and normalization.adaptive_range is not None:
            message = "fixedRange and adaptiveRange exclude each other"
            raise ConfigurationError([Problem("algorithm.normalization", message)])
        if self._range is not None and not self._range.min <= self._range.max:
            message = "min must not be above max"
            raise ConfigurationError([Problem("algorithm.normalization.fixedRange", message)])

    def score(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> list[float]:
        """Return 0..1 for each candidate; 0 for one without the number, 1 for all others where there is no range."""
        values = [value_of(endpoint, self._key) for endpoint in candidates]
        known = [value for value in values if value is not None]
        if not known:
            return [0.0] * len(candidates)
        least, most = (min(known), max(known)) if self._range is None else (self._range.min, self._range.max)
        return [0.0 if value is None else self._rate(value, least, most) for value in values]

    def _rate(self, value: float, least: float, most: float) -> float:
        if least == most:
            return 1.0
        share = min(1.0, max(0.0, (value - least) / (most - least)))
        return 1 - share if self._is_lower_better else share
