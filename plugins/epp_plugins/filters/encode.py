"""``encode-filter``: keeps the endpoints that encode images and other media for others."""

from collections.abc import Sequence

from epp.plugin import Endpoint, InferenceRequest
from epp_plugins.roles import Stage, does


class EncodeFilter:
    """Keeps by the label ``llm-d.ai/role``."""

    def filter(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """Return the candidates with such a role."""
        return [endpoint for endpoint in candidates if does(endpoint, Stage.ENCODE)]
