"""What happens around the scheduling cycle: parsers, producers, observers, discovery."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from epp.plugin.endpoint import Endpoint, EndpointSpec
from epp.plugin.request import InferenceRequest, ParsedBody
from epp.plugin.response import Response
from epp.plugin.scheduling import Decision


class Parser(Protocol):
    """Reads request bodies of one API."""

    @property
    def paths(self) -> Sequence[str]:
        """Path suffixes that it claims, such as ``chat/completions``; the longest suffix of all parsers wins.

        A parser without any reads what no other parser claims.
        """
        ...

    def parse(self, path: str, body: bytes) -> ParsedBody:
        """Return what the body says; raises `Rejection` (400) with what is wrong and where."""
        ...


class Producer(Protocol):
    """Computes attributes before scheduling."""

    def produce(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Awaitable[None] | None:
        """Attach attributes to the request; an awaitable is awaited until the deadline, then left out.

        The deadline is 0.4 s, or what an attribute ``deadline_s`` of the producer says, in seconds.
        May refuse the request with a `Rejection`.
        """
        ...


class Admitter(Protocol):
    """May refuse a request for what the producers have found, before it is scheduled."""

    def admit(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> None:
        """Return for a request that may go on; raises `Rejection` for one that may not."""
        ...


class BackgroundWorker(Protocol):
    """Works beside the requests: follows streams, keeps connections open."""

    async def run_in_background(self) -> None:
        """Work until cancelled, or until there is nothing more to do. When it raises it is run again a little later."""
        ...


class Connected(Protocol):
    """Uses other plugins, which its parameters name."""

    def connect(self, plugins: Mapping[str, object]) -> None:
        """Take what is needed of all ``plugins`` by name, once all of them are built.

        Raises `ConfigurationError` for a name that is none, or not what it should be.
        """
        ...


class RoutedObserver(Protocol):
    """Is told of every decision, before the answer goes out."""

    def on_routed(self, request: InferenceRequest, decision: Decision) -> None:
        """Take note; cannot change the decision, nor refuse it."""
        ...


class ResponseHeadObserver(Protocol):
    """Is told when a routed request's answer begins."""

    def on_response_head(
        self, request: InferenceRequest, decision: Decision, response: Response
    ) -> Mapping[str, str] | None:
        """Take note; may return headers that the client's answer should carry."""
        ...


class DoneObserver(Protocol):
    """Is told when a routed request is over."""

    def on_done(self, request: InferenceRequest, decision: Decision, response: Response) -> None:
        """Take note, exactly once for each `on_routed`: answered, failed, cancelled or never answered."""
        ...


class ScrapedObserver(Protocol):
    """Is told whenever an endpoint's load was scraped."""

    def on_scraped(self, endpoint: Endpoint) -> None:
        """Take note of ``endpoint.scraped``, about once a second for each endpoint."""
        ...


class EndpointLostObserver(Protocol):
    """Is told when the process behind an endpoint seems to be gone; another one may come in its place."""

    def on_endpoint_lost(self, endpoint: Endpoint) -> None:
        """Forget what was in that process' memory."""
        ...


class EndpointRemovedObserver(Protocol):
    """Is told when an endpoint leaves the pool."""

    def on_endpoint_removed(self, endpoint: Endpoint) -> None:
        """Forget whatever is kept for this endpoint."""
        ...


class Discovery(Protocol):
    """Finds the pool's endpoints without Kubernetes."""

    async def watch(self, publish: Callable[[Sequence[EndpointSpec]], None]) -> None:
        """Publish the whole pool, and again after each change, until cancelled; return if it can never change.

        Raises `ConfigurationError` when there is nothing to publish at start, which stops the picker. Later, a source
        that breaks publishes nothing: the last good pool stays.
        """
        ...
