"""``prefix-cache-scorer``: the endpoint that already has most of the prompt is best."""

from collections.abc import Sequence
from typing import ClassVar

from epp.plugin import Attribute, Endpoint, InferenceRequest, PrefixMatches


class PrefixCacheScorer:
    """Rates by the share of the prompt's blocks that an endpoint is believed to have cached, from its start on."""

    consumes: ClassVar[Sequence[type[Attribute]]] = (PrefixMatches,)

    def score(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> list[float]:
        """Return 0..1 for each candidate; all 0 when the prompt is unknown or shorter than one block."""
        matches = request.attribute(PrefixMatches)
        if matches is None:
            return [0.0] * len(candidates)
        return [matches.ratio(endpoint) for endpoint in candidates]
