"""``prefill-filter``: keeps the endpoints that compute prompts for others."""

from collections.abc import Sequence

from epp.plugin import Endpoint, InferenceRequest
from epp_plugins.roles import Stage, does


class PrefillFilter:
    """Keeps by the label ``llm-d.ai/role``."""

    def filter(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """Return the candidates with such a role."""
        return [endpoint for endpoint in candidates if does(endpoint, Stage.PREFILL)]
