"""``session-affinity-scorer``: a session stays where it is, if that is not much worse."""

from collections.abc import Mapping, Sequence

from epp.plugin import Decision, Endpoint, InferenceRequest, PluginContext, Response
from epp_plugins.sessions import Params, Sessions


class SessionAffinityScorer:
    """Rates 1 the endpoint that a request's session is pinned to, and 0 the others."""

    def __init__(self, params: Params, context: PluginContext) -> None:
        self._sessions = Sessions(params, context)

    def score(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> list[float]:
        """Return 1 or 0 for each candidate; all 0 for a request without a session."""
        pinned = self._sessions.pinned(request, candidates)
        return [float(endpoint is pinned) for endpoint in candidates]

    def on_routed(self, request: InferenceRequest, decision: Decision) -> None:
        """Pin the session."""
        self._sessions.routed(request, decision)

    def on_response_head(
        self, request: InferenceRequest, decision: Decision, response: Response
    ) -> Mapping[str, str] | None:
        """Let the client remember."""
        return self._sessions.response_headers(decision, response)
