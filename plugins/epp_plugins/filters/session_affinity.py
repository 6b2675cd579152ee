"""``session-affinity-filter``: a session stays where it is, whatever the load."""

from collections.abc import Sequence

from epp.plugin import Endpoint, InferenceRequest
from epp_plugins.sessions import SessionAffinity


class SessionAffinityFilter(SessionAffinity):
    """Keeps only the endpoint that a request's session is pinned to; all when it is pinned to none of them."""

    def filter(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """Return the pinned endpoint, or all."""
        pinned = self._sessions.pinned(request, candidates)
        return candidates if pinned is None else [pinned]
