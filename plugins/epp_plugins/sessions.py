"""Which endpoint a session is pinned to, for ``session-affinity-scorer`` and ``session-affinity-filter``."""

import base64
import binascii
import enum
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from epp.plugin import Decision, Endpoint, InferenceRequest, PluginContext, PluginParams, Response

TOKEN_HEADER, ID_HEADER = "x-session-token", "x-session-id"
MAX_ID_CHARACTERS = 256
"""Clients choose session ids; longer ones are no sessions."""


class Strategy(enum.Enum):
    """Who remembers."""

    ENCODED_ENDPOINT_HEADER = "encoded_endpoint_header"
    """The client, in a header that names the endpoint."""
    SESSION_ID = "session_id"
    """This picker, by an id that the client sends."""


class SessionSource(PluginParams):
    """Where a session's id is; the first source that has one counts."""

    header: str | None = None
    """A request header."""
    prompt_cache_key: bool = False
    """The field of this name in the body, as the OpenAI API has it."""


class Params(PluginParams):
    """Names and defaults of the Go pickers; ``max_sessions`` and the cache key are ours."""

    strategy: Strategy = Strategy.ENCODED_ENDPOINT_HEADER
    """Who remembers."""
    header: str = TOKEN_HEADER
    """The header that names the endpoint, where the client remembers."""
    sources: list[SessionSource] = msgspec.field(default_factory=lambda: [SessionSource(header=ID_HEADER)])
    """Where the id is, where this picker remembers."""
    eviction_ttl_seconds: Annotated[float, Meta(gt=0)] = 300.0
    """How long a session without requests is remembered."""
    eviction_sweep_seconds: float = 10.0
    """Accepted for files of the Go pickers; sessions that are over go as others come."""
    profile_name: str | None = None
    """The profile whose pick is remembered; the primary endpoint when left out."""
    max_sessions: Annotated[int, Meta(ge=1)] = 100_000
    """How many are remembered; of more, the one that was used least recently goes."""


class Sessions:
    """Finds and makes pins. A pin moves only when its endpoint is no candidate any more."""

    def __init__(self, params: Params, context: PluginContext) -> None:
        self._params = params
        self._header = params.header.lower()
        self._clock = context.clock
        self._is_by_id = params.strategy is Strategy.SESSION_ID
        self._pins: OrderedDict[str, tuple[Endpoint, float]] = OrderedDict()
        """Session id -> endpoint, and when the session is over."""

    def pinned(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Endpoint | None:
        """Return the candidate that the request's session is pinned to."""
        if self._is_by_id:
            pin = self._pins.get(self._session_id(request))
            endpoint = pin[0] if pin is not None and pin[1] > self._clock() else None
            return endpoint if endpoint in candidates else None
        key = _decoded(request.head.get(self._header, ""))
        return next((endpoint for endpoint in candidates if endpoint.key == key), None) if key else None

    def routed(self, request: InferenceRequest, decision: Decision) -> None:
        """Pin the request's session to where it goes."""
        session_id = self._session_id(request) if self._is_by_id else ""
        if not session_id:
            return
        now_s = self._clock()
        self._pins[session_id] = self._chosen(decision), now_s + self._params.eviction_ttl_seconds
        self._pins.move_to_end(session_id)
        while self._pins and (
            len(self._pins) > self._params.max_sessions or next(iter(self._pins.values()))[1] <= now_s
        ):
            self._pins.popitem(last=False)

    def response_headers(self, decision: Decision, response: Response) -> Mapping[str, str]:
        """Return the header by which the client remembers the endpoint that serves it."""
        if self._is_by_id or response.is_error:
            return {}
        served = decision.named(response.served_by) or self._chosen(decision)
        return {self._header: base64.b64encode(served.key.encode()).decode()}

    def _chosen(self, decision: Decision) -> Endpoint:
        result = decision.results.get(self._params.profile_name or "")
        return result.picked[0] if result is not None and result.picked else decision.primary

    def _session_id(self, request: InferenceRequest) -> str:
        """Return the request's session, empty for none."""
        for source in self._params.sources:
            found = request.prompt_cache_key if source.prompt_cache_key else ""
            found = found or request.head.get((source.header or "").lower(), "")
            if found:
                return found if len(found) <= MAX_ID_CHARACTERS else ""
        return ""


class SessionAffinity:
    """What the scorer and the filter have in common: they make pins and let clients remember."""

    def __init__(self, params: Params, context: PluginContext) -> None:
        self._sessions = Sessions(params, context)

    def on_routed(self, request: InferenceRequest, decision: Decision) -> None:
        """Pin the session."""
        self._sessions.routed(request, decision)

    def on_response_head(
        self, request: InferenceRequest, decision: Decision, response: Response
    ) -> Mapping[str, str] | None:
        """Let the client remember."""
        return self._sessions.response_headers(decision, response)


def _decoded(token: str) -> str:
    """Return the endpoint's key in a token that a client sent, empty for nonsense."""
    try:
        return base64.b64decode(token, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""
