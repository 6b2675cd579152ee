"""``lookup-producer`` asks a service which endpoints a user prefers, ``preference-scorer`` rates them higher.

The service answers ``GET <url>?user=alice`` with ``{"endpoints": ["pod-1", "pod-2"]}``, names of endpoints.

In the configuration::

    plugins:
      - type: lookup-producer
        parameters:
          url: http://127.0.0.1:8090/preferences
          timeout: 50ms
      - type: preference-scorer
    schedulingProfiles:
      - name: default
        plugins:
          - pluginRef: preference-scorer
            weight: 1
"""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import aiohttp
import msgspec

from epp.plugin import (
    Attribute,
    ConfigurationError,
    Endpoint,
    InferenceRequest,
    PluginParams,
    Problem,
    read_duration,
)


@dataclass(frozen=True, slots=True)
class PreferredEndpoints(Attribute):
    """Where a request's user wants to be served."""

    names: frozenset[str]


class Params(PluginParams):
    """Whom to ask, for whom, and how long to wait."""

    url: str
    """The service's address, such as ``http://127.0.0.1:8090/preferences``."""
    header: str = "x-user"
    """Request header that names the user; a request without it is not asked about."""
    timeout: str = "50ms"
    """Then the request goes on without an answer."""


class _Answer(msgspec.Struct):
    endpoints: frozenset[str]


class LookupProducer:
    """Attaches `PreferredEndpoints`.

    Whatever goes wrong with the service is raised: the picker logs and counts it, and the request goes on without.
    """

    produces: ClassVar[Sequence[type[Attribute]]] = (PreferredEndpoints,)

    def __init__(self, params: Params) -> None:
        """Raise `ConfigurationError` for a timeout that is none, or a URL that cannot be one."""
        if not params.url.startswith(("http://", "https://")):
            raise ConfigurationError([Problem("url", "must begin with http:// or https://")])
        self._url = params.url
        self._header = params.header.lower()
        self.deadline_s = read_duration(params.timeout, "timeout", at_least_s=0.001)
        self._http: aiohttp.ClientSession | None = None

    async def run_in_background(self) -> None:
        """Keep connections open until the picker stops."""
        async with aiohttp.ClientSession() as http:
            self._http = http
            try:
                await asyncio.Event().wait()
            finally:
                self._http = None

    def produce(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Awaitable[None] | None:
        """Return what asks the service, which the picker awaits for ``deadline_s``; nothing when nobody is named."""
        user = request.head.get(self._header)
        if not user or self._http is None:
            return None
        return self._look_up(request, user, self._http)

    async def _look_up(self, request: InferenceRequest, user: str, http: aiohttp.ClientSession) -> None:
        async with http.get(self._url, params={"user": user}, raise_for_status=True) as response:
            answer = msgspec.json.decode(await response.read(), type=_Answer)
        request.attach(PreferredEndpoints(answer.endpoints))


class PreferenceScorer:
    """Rates the endpoints that the user prefers 1, others 0; all 0 when nothing is known of the user."""

    consumes: ClassVar[Sequence[type[Attribute]]] = (PreferredEndpoints,)

    def score(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> list[float]:
        """Return one rating for each candidate, in their order."""
        preferred = request.attribute(PreferredEndpoints)
        names: frozenset[str] = preferred.names if preferred else frozenset()
        return [float(endpoint.name in names) for endpoint in candidates]
