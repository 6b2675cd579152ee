"""``session-affinity-scorer``: a session stays where it is, if that is not much worse."""

from collections.abc import Sequence

from epp.plugin import Endpoint, InferenceRequest
from epp_plugins.sessions import SessionAffinity


class SessionAffinityScorer(SessionAffinity):
    """Rates 1 the endpoint that a request's session is pinned to, and 0 the others."""

    def score(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> list[float]:
        """Return 1 or 0 for each candidate; all 0 for a request without a session."""
        pinned = self._sessions.pinned(request, candidates)
        return [float(endpoint is pinned) for endpoint in candidates]
