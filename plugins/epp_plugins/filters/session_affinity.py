"""``session-affinity-filter``: a session stays where it is, whatever the load."""

from collections.abc import Mapping, Sequence

from epp.plugin import Decision, Endpoint, InferenceRequest, PluginContext, Response
from epp_plugins.sessions import Params, Sessions


class SessionAffinityFilter:
    """Keeps only the endpoint that a request's session is pinned to; all when it is pinned to none of them."""

    def __init__(self, params: Params, context: PluginContext) -> None:
        self._sessions = Sessions(params, context)

    def filter(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """Return the pinned endpoint, or all."""
        pinned = self._sessions.pinned(request, candidates)
        return candidates if pinned is None else [pinned]

    def on_routed(self, request: InferenceRequest, decision: Decision) -> None:
        """Pin the session."""
        self._sessions.routed(request, decision)

    def on_response_head(
        self, request: InferenceRequest, decision: Decision, response: Response
    ) -> Mapping[str, str] | None:
        """Let the client remember."""
        return self._sessions.response_headers(decision, response)
