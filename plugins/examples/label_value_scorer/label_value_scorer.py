"""``label-value-scorer``: operators rate endpoints themselves, by a number from 0 to 1 in a label.

In the configuration::

    plugins:
      - type: label-value-scorer
        parameters:
          label: example.com/preference
    schedulingProfiles:
      - name: default
        plugins:
          - pluginRef: label-value-scorer
            weight: 1
"""

from collections.abc import Sequence

from epp.plugin import Endpoint, InferenceRequest, PluginParams


class Params(PluginParams):
    """What the plugin takes from the configuration; ``missingScore`` in YAML."""

    label: str
    missing_score: float = 0.5


class LabelValueScorer:
    """Rates an endpoint by its label; one without it, or with something else than a number, gets ``missingScore``."""

    def __init__(self, params: Params) -> None:
        self._label = params.label
        self._missing_score = params.missing_score

    def score(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> list[float]:
        """Return one rating for each candidate, in their order; the picker clamps them to 0..1."""
        return [self._rate(endpoint) for endpoint in candidates]

    def _rate(self, endpoint: Endpoint) -> float:
        try:
            return float(endpoint.labels[self._label])
        except (KeyError, ValueError):
            return self._missing_score
