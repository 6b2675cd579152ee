"""``endpoint-attribute-filter``: keeps endpoints by any number that is known of them."""

import enum
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Literal

from msgspec import Meta

from epp.plugin import Endpoint, InferenceRequest, PluginParams
from epp_plugins.endpoint_values import value_of


class Operator(enum.Enum):
    """How the number is compared with the threshold."""

    LESS = "LessThan"
    LESS_OR_EQUAL = "LessThanOrEqual"
    GREATER = "GreaterThan"
    GREATER_OR_EQUAL = "GreaterThanOrEqual"
    EQUAL = "Equal"
    NOT_EQUAL = "NotEqual"


class OnMissing(enum.Enum):
    """What becomes of an endpoint without the number."""

    KEEP = "Pass"
    LEAVE_OUT = "Fail"


class Algorithm(PluginParams):
    """What endpoints have to meet."""

    operator: Operator
    threshold: float
    type: Literal["threshold"] = "threshold"


class Params(PluginParams):
    """Names and defaults of the Go pickers."""

    attribute: Annotated[str, Meta(min_length=1)]
    """Such as ``WaitingQueueSize``, or the ``attributeKey`` of a custom metric."""
    algorithm: Algorithm
    producer: str | None = None
    """Accepted for files of the Go pickers; the names are those of `core-metrics-extractor`."""
    on_missing: OnMissing = OnMissing.KEEP
    fallback_on_empty: bool = False
    """Keep all when none is left."""


_HOLDS: Mapping[Operator, Callable[[float, float], bool]] = {
    Operator.LESS: operator.lt,
    Operator.LESS_OR_EQUAL: operator.le,
    Operator.GREATER: operator.gt,
    Operator.GREATER_OR_EQUAL: operator.ge,
    Operator.EQUAL: operator.eq,
    Operator.NOT_EQUAL: operator.ne,
}


class EndpointAttributeFilter:
    """Keeps the endpoints whose number is on the right side of a threshold."""

    def __init__(self, params: Params) -> None:
        self._params = params
        self._holds = _HOLDS[params.algorithm.operator]

    def filter(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """Return those that pass."""
        kept = [endpoint for endpoint in candidates if self._passes(endpoint)]
        return candidates if not kept and self._params.fallback_on_empty else kept

    def _passes(self, endpoint: Endpoint) -> bool:
        value = value_of(endpoint, self._params.attribute)
        if value is None:
            return self._params.on_missing is OnMissing.KEEP
        return self._holds(value, self._params.algorithm.threshold)
