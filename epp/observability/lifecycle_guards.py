"""Plugins around the scheduling cycle behind their guards: parsers, producers, observers, discovery."""

import asyncio
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence

from epp.observability.guard import FAILED, Guard, PluginFaultError, is_cancelled, not_cancelled_by_itself
from epp.observability.header_rules import is_header
from epp.plugin import (
    NOT_PARSED,
    Admitter,
    BackgroundWorker,
    ConfigurationError,
    Decision,
    Discovery,
    DoneObserver,
    Endpoint,
    EndpointLostObserver,
    EndpointRemovedObserver,
    EndpointSpec,
    InferenceRequest,
    ParsedBody,
    Parser,
    Producer,
    Response,
    ResponseHeadObserver,
    RoutedObserver,
    SaturationDetector,
    ScrapedObserver,
)
from epp.strand import in_task

PRODUCER_DEADLINE_S = 0.4
"""A producer's time before the request goes on without it, as in the Go pickers."""
RETRY_S = 5.0
"""Pause before a discovery or a background worker that failed is started again."""


class GuardedProducer:
    """A producer that attaches nothing when it fails or takes longer than its deadline."""

    def __init__(self, guard: Guard, one: Producer) -> None:
        """Raise `ConfigurationError` for a deadline that makes no sense."""
        self._guard = guard
        self._produce = one.produce
        self._deadline_s = _deadline_s(guard.plugin, getattr(one, "deadline_s", PRODUCER_DEADLINE_S))

    async def produce(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> bool:
        """Let the plugin attach its attributes; its `Rejection` passes. Tells whether that took a wait."""
        pending = self._guard.attempt("produce", self._produce, request, candidates)
        if pending is None or not inspect.isawaitable(pending):
            return False
        await in_task()
        await self._guard.attempt_until("produce", self._deadline_s, pending)
        return True


class GuardedAdmitter:
    """An admitter that lets every request pass when it fails."""

    def __init__(self, guard: Guard, one: Admitter) -> None:
        self._guard = guard
        self._admit = one.admit

    def admit(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> None:
        """Ask the plugin; its `Rejection` passes."""
        self._guard.attempt("admit", self._admit, request, candidates)


class GuardedDetector:
    """A saturation detector that calls the pool idle when it fails."""

    def __init__(self, guard: Guard, one: SaturationDetector) -> None:
        self._guard = guard
        self._saturation = one.saturation

    def saturation(self, candidates: Sequence[Endpoint]) -> float:
        """Return 0.0 for an idle pool, 1.0 and more for a full one."""
        saturation = self._guard.attempt("saturation", self._checked, candidates)
        return 0.0 if saturation is FAILED else saturation

    def _checked(self, candidates: Sequence[Endpoint]) -> float:
        saturation = float(self._saturation(candidates))
        if not saturation >= 0:
            raise PluginFaultError(f"returned {saturation} as saturation, which is 0 or more")
        return saturation


class GuardedWorker:
    """A background worker that is run again when it fails."""

    def __init__(self, guard: Guard, one: BackgroundWorker) -> None:
        self._guard = guard
        self.worker = one

    async def run(self) -> None:
        """Let the plugin work; return when it has nothing more to do."""
        while True:
            try:
                await not_cancelled_by_itself(self.worker.run_in_background())
            except Exception as failure:  # noqa: BLE001 - third-party code: contained, counted and named
                self._guard.report("run_in_background", failure)
                if is_cancelled():
                    return  # it failed while it was to end
                await asyncio.sleep(RETRY_S)
            else:
                return


class GuardedParser:
    """A parser that leaves a request unread when it fails: it is then routed by load alone."""

    def __init__(self, guard: Guard, one: Parser) -> None:
        self._guard = guard
        self._parse = one.parse
        self.paths = tuple(one.paths)

    def parse(self, path: str, body: bytes) -> ParsedBody:
        """Return what the plugin read; its `Rejection` passes."""
        parsed = self._guard.attempt("parse", self._parsed, path, body)
        return NOT_PARSED if parsed is FAILED else parsed

    def _parsed(self, path: str, body: bytes) -> ParsedBody:
        parsed = self._parse(path, body)
        if not isinstance(parsed, ParsedBody):
            raise PluginFaultError(f"returned {type(parsed).__name__} in place of ParsedBody")
        return parsed


class GuardedObserver:
    """All observers, told one after the other; one that fails does not keep the others from being told."""

    def __init__(
        self,
        *,
        routed: Sequence[tuple[Guard, RoutedObserver]] = (),
        heads: Sequence[tuple[Guard, ResponseHeadObserver]] = (),
        done: Sequence[tuple[Guard, DoneObserver]] = (),
        scraped: Sequence[tuple[Guard, ScrapedObserver]] = (),
        lost: Sequence[tuple[Guard, EndpointLostObserver]] = (),
        removed: Sequence[tuple[Guard, EndpointRemovedObserver]] = (),
    ) -> None:
        self._routed = routed
        self._heads = heads
        self._done = done
        self._scraped = scraped
        self._lost = lost
        self._removed = removed

    def on_routed(self, request: InferenceRequest, decision: Decision) -> None:
        """Tell of a decision."""
        for guard, observer in self._routed:
            guard.attempt("on_routed", observer.on_routed, request, decision)

    def on_response_head(self, request: InferenceRequest, decision: Decision, response: Response) -> Mapping[str, str]:
        """Tell that an answer begins; returns the headers that the plugins want on it."""
        headers: dict[str, str] = {}
        for guard, observer in self._heads:
            wanted = guard.attempt("on_response_head", _headers, observer, request, decision, response)
            if wanted is not FAILED:
                headers |= wanted
        return headers

    def on_done(self, request: InferenceRequest, decision: Decision, response: Response) -> None:
        """Tell that a routed request is over."""
        for guard, observer in self._done:
            guard.attempt("on_done", observer.on_done, request, decision, response)

    def on_scraped(self, endpoint: Endpoint) -> None:
        """Tell that an endpoint's load was scraped."""
        for guard, observer in self._scraped:
            guard.attempt("on_scraped", observer.on_scraped, endpoint)

    def on_endpoint_lost(self, endpoint: Endpoint) -> None:
        """Tell that the process behind an endpoint seems to be gone."""
        for guard, observer in self._lost:
            guard.attempt("on_endpoint_lost", observer.on_endpoint_lost, endpoint)

    def on_endpoint_removed(self, endpoint: Endpoint) -> None:
        """Tell that an endpoint left the pool."""
        for guard, observer in self._removed:
            guard.attempt("on_endpoint_removed", observer.on_endpoint_removed, endpoint)


class GuardedDiscovery:
    """A discovery that is started again when it fails; the last good pool stays meanwhile."""

    def __init__(self, guard: Guard, one: Discovery) -> None:
        self._guard = guard
        self._watch = one.watch
        self._has_published = False

    async def run(self, publish: Callable[[Sequence[EndpointSpec]], None]) -> None:
        """Publish the pool and its changes; return when the source can never change.

        Raises `ConfigurationError` when it fails before it has published anything: there is no pool to go on with.
        """

        def note(specs: Sequence[EndpointSpec]) -> None:
            self._has_published = True
            publish(specs)

        has_ended = await self._has_ended(note)
        while not has_ended:
            await asyncio.sleep(RETRY_S)
            has_ended = await self._has_ended(note)
        if not self._has_published:
            raise ConfigurationError([f"discovery `{self._guard.plugin}` ended without naming a pool"])

    async def _has_ended(self, publish: Callable[[Sequence[EndpointSpec]], None]) -> bool:
        try:
            await not_cancelled_by_itself(self._watch(publish))
        except Exception as failure:
            if not self._has_published:
                if isinstance(failure, ConfigurationError):
                    raise
                raise ConfigurationError([f"discovery `{self._guard.plugin}` failed: {failure!r}"]) from failure
            self._guard.report("watch", failure)
            return is_cancelled()
        return True


def _deadline_s(plugin: str, value: object) -> float:
    if not isinstance(value, (int, float)) or not value > 0:
        raise ConfigurationError([f"producer `{plugin}`: deadline_s must be seconds above 0, not {value!r}"])
    return value


def _headers(
    observer: ResponseHeadObserver, request: InferenceRequest, decision: Decision, response: Response
) -> Mapping[str, str]:
    """Return the headers that an observer wants on the answer; raises `PluginFaultError` for what is no header."""
    wanted = observer.on_response_head(request, decision, response)
    if not wanted:
        return {}
    pairs: Iterable[tuple[object, object]] = wanted.items()
    headers = {name.lower(): value for name, value in pairs if isinstance(name, str) and isinstance(value, str)}
    if len(headers) < len(wanted) or not all(is_header(name, value) for name, value in headers.items()):
        raise PluginFaultError(f"returned the headers {wanted!r}, which cannot be set")
    return headers
