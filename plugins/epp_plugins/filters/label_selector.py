"""``label-selector-filter``: keeps endpoints by their labels, as Kubernetes selects pods."""

import enum
from collections.abc import Mapping, Sequence

import msgspec

from epp.plugin import ConfigurationError, Endpoint, InferenceRequest, PluginParams, Problem


class Operator(enum.Enum):
    """How a label is compared."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class Expression(PluginParams):
    """One condition on a label."""

    key: str
    operator: Operator
    values: list[str] = msgspec.field(default_factory=list)


class Params(PluginParams):
    """A LabelSelector of Kubernetes; an empty one selects everything."""

    match_labels: dict[str, str] = msgspec.field(default_factory=dict)
    match_expressions: list[Expression] = msgspec.field(default_factory=list)


class LabelSelectorFilter:
    """Keeps the endpoints that meet all conditions."""

    def __init__(self, params: Params) -> None:
        """Raise `ConfigurationError` for values where none belong, and none where some do."""
        for i, one in enumerate(params.match_expressions):
            needs_values = one.operator in {Operator.IN, Operator.NOT_IN}
            if bool(one.values) is not needs_values:
                message = f"must {'' if needs_values else 'not '}be given with operator {one.operator.value}"
                raise ConfigurationError([Problem(f"matchExpressions[{i}].values", message)])
        self._params = params

    def filter(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """Return the candidates that are selected."""
        return [endpoint for endpoint in candidates if self._selects(endpoint.labels)]

    def _selects(self, labels: Mapping[str, str]) -> bool:
        equal = all(labels.get(key) == value for key, value in self._params.match_labels.items())
        return equal and all(_holds(one, labels) for one in self._params.match_expressions)


def _holds(expression: Expression, labels: Mapping[str, str]) -> bool:
    match expression.operator:
        case Operator.IN:
            return labels.get(expression.key) in expression.values
        case Operator.NOT_IN:
            return labels.get(expression.key) not in expression.values
        case Operator.EXISTS:
            return expression.key in labels
        case Operator.DOES_NOT_EXIST:
            return expression.key not in labels
