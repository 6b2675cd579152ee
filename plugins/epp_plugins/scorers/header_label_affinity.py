"""``header-label-affinity-scorer``: a request's header says which label its endpoint should have."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from epp.plugin import Endpoint, InferenceRequest, PluginParams

Name = Annotated[str, Meta(min_length=1)]


class Params(PluginParams):
    """Names of the Go pickers."""

    header_name: Name
    label_key: Name


class HeaderLabelAffinityScorer:
    """Rates 1 the endpoints whose label has the header's value, and 0 the others."""

    def __init__(self, params: Params) -> None:
        self._header = params.header_name.lower()
        self._label = params.label_key

    def score(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> list[float]:
        """Return 1 or 0 for each candidate; all 0 for a request without the header."""
        wanted = request.head.get(self._header)
        if wanted is None:
            return [0.0] * len(candidates)
        return [float(endpoint.labels.get(self._label) == wanted) for endpoint in candidates]
