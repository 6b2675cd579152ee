"""The guard around a plugin: wrapped once, when it is assembled.

A plugin is other people's code on the path of every request. Whatever it does - raise, return too few numbers, pick an
endpoint that is no candidate - the request goes on without it, and the failure is logged and counted under its name.
What a plugin returns is checked and copied inside the guard, so nothing odd gets past it. A `Rejection` is no failure
at the points where a plugin may refuse a request: parser, producer, filter.
"""

import asyncio
import enum
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Literal, ParamSpec, TypeVar

from structlog.typing import FilteringBoundLogger

from epp.observability.metrics import Metrics
from epp.plugin import (
    ConfigurationError,
    Decision,
    Discovery,
    Endpoint,
    EndpointRemovedObserver,
    EndpointSpec,
    Filter,
    InferenceRequest,
    ParsedBody,
    Parser,
    Picker,
    Producer,
    ProfileHandler,
    ProfileResult,
    Rejection,
    RoutedObserver,
    Scorer,
)

T = TypeVar("T")
P = ParamSpec("P")

MAY_REFUSE = frozenset({"parse", "produce", "filter"})
DISCOVERY_RETRY_S = 5.0
"""Pause before a discovery that failed is started again."""


class Outcome(enum.Enum):
    """What a guarded call gives in place of a result."""

    FAILED = enum.auto()


FAILED: Final = Outcome.FAILED


class PluginFaultError(ValueError):
    """A plugin returned something that its extension point does not allow."""


class Guard:
    """Runs one plugin's calls and contains their failures."""

    def __init__(self, plugin: str, *, metrics: Metrics, log: FilteringBoundLogger) -> None:
        self.plugin = plugin
        self._metrics = metrics
        self._log = log.bind(plugin=plugin)

    def attempt(
        self, point: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T | Literal[Outcome.FAILED]:
        """Return what ``call`` returns, or `FAILED` after noting its failure at the extension point."""
        try:
            return call(*args, **kwargs)
        except Exception as failure:  # noqa: BLE001 - third-party code: contained, counted and named
            self._contain(point, failure)
            return FAILED

    async def attempt_until(self, point: str, deadline_s: float, pending: Awaitable[None]) -> None:
        """Await ``pending``; note its failure, or that it was not done in time."""
        try:
            async with asyncio.timeout(deadline_s):
                await pending
        except Exception as failure:  # noqa: BLE001 - third-party code: contained, counted and named
            self._contain(point, failure)

    def report(self, point: str, failure: Exception) -> None:
        """Log and count a failure at an extension point."""
        self._metrics.plugin_failed(self.plugin, point)
        self._log.error("plugin_failed", point=point, error=repr(failure), exc_info=failure)

    def _contain(self, point: str, failure: Exception) -> None:
        """Note a failure; raise it again where it is a refusal that this point allows."""
        if isinstance(failure, Rejection) and point in MAY_REFUSE:
            raise failure
        self.report(point, failure)


class GuardedFilter:
    """A filter that keeps every candidate when it fails."""

    def __init__(self, guard: Guard, one: Filter) -> None:
        self._guard = guard
        self._filter = one.filter

    def filter(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """Return what the plugin keeps."""
        kept = self._guard.attempt("filter", self._kept, request, candidates)
        return candidates if kept is FAILED else kept

    def _kept(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Sequence[Endpoint]:
        return _checked(self._filter(request, candidates), candidates)


class GuardedScorer:
    """A scorer whose numbers are clamped to 0..1, and which rates all alike when it fails."""

    def __init__(self, guard: Guard, one: Scorer) -> None:
        self._guard = guard
        self._score = one.score

    def score(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Sequence[float]:
        """Return the plugin's ratings; what is not a number counts as 0."""
        scores = self._guard.attempt("score", self._clamped, request, candidates)
        return [0.0] * len(candidates) if scores is FAILED else scores

    def _clamped(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Sequence[float]:
        scores = [(min(score, 1.0) if score > 0.0 else 0.0) for score in self._score(request, candidates)]
        if len(scores) != len(candidates):
            raise PluginFaultError(f"returned {len(scores)} scores for {len(candidates)} candidates")
        return scores


class GuardedPicker:
    """A picker that is replaced by "the highest total" when it fails."""

    def __init__(self, guard: Guard, one: Picker) -> None:
        self._guard = guard
        self._pick = one.pick

    def pick(
        self, request: InferenceRequest, candidates: Sequence[Endpoint], totals: Sequence[float]
    ) -> Sequence[Endpoint]:
        """Return the plugin's choice."""
        picked = self._guard.attempt("pick", self._picked, request, candidates, totals)
        return [candidates[max(range(len(candidates)), key=totals.__getitem__)]] if picked is FAILED else picked

    def _picked(
        self, request: InferenceRequest, candidates: Sequence[Endpoint], totals: Sequence[float]
    ) -> Sequence[Endpoint]:
        picked = _checked(self._pick(request, candidates, totals), candidates)
        if not picked:
            raise PluginFaultError("picked nothing")
        return picked


class GuardedProfileHandler:
    """A profile handler that is replaced by "run the first profile, take its pick" when it fails."""

    def __init__(self, guard: Guard, one: ProfileHandler) -> None:
        self._guard = guard
        self._handler = one

    def select(
        self, request: InferenceRequest, profiles: Sequence[str], results: Mapping[str, ProfileResult]
    ) -> Sequence[str]:
        """Return the profiles that the plugin wants to run next; the first one if it never wants any."""
        selected = self._guard.attempt("select", self._selected, request, profiles, results)
        if selected is not FAILED and (selected or results):
            return selected
        return () if results else profiles[:1]

    def decide(self, request: InferenceRequest, results: Mapping[str, ProfileResult]) -> Decision:
        """Return the plugin's decision."""
        decision = self._guard.attempt("decide", self._decided, request, results)
        if decision is not FAILED:
            return decision
        return Decision(endpoints=next(iter(results.values())).picked, results=results)

    def _selected(
        self, request: InferenceRequest, profiles: Sequence[str], results: Mapping[str, ProfileResult]
    ) -> Sequence[str]:
        return [name for name in self._handler.select(request, profiles, results) if name in profiles]

    def _decided(self, request: InferenceRequest, results: Mapping[str, ProfileResult]) -> Decision:
        decision = self._handler.decide(request, results)
        candidates = [endpoint for result in results.values() for endpoint in result.candidates]
        return Decision(endpoints=_checked(decision.endpoints, candidates), results=results)


class GuardedProducer:
    """A producer that attaches nothing when it fails or takes longer than its deadline."""

    def __init__(self, guard: Guard, one: Producer, *, deadline_s: float) -> None:
        self._guard = guard
        self._produce = one.produce
        self._deadline_s = deadline_s

    async def produce(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> None:
        """Let the plugin attach its attributes; its `Rejection` passes."""
        pending = self._guard.attempt("produce", self._produce, request, candidates)
        if inspect.isawaitable(pending):
            await self._guard.attempt_until("produce", self._deadline_s, pending)


class GuardedParser:
    """A parser that leaves a request unread when it fails: it is then routed by load alone."""

    def __init__(self, guard: Guard, one: Parser) -> None:
        self._guard = guard
        self._parse = one.parse
        self.paths = tuple(one.paths)

    def parse(self, path: str, body: bytes) -> ParsedBody | None:
        """Return what the plugin read; its `Rejection` passes."""
        parsed = self._guard.attempt("parse", self._parsed, path, body)
        return None if parsed is FAILED else parsed

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
        removed: Sequence[tuple[Guard, EndpointRemovedObserver]] = (),
    ) -> None:
        self._routed = routed
        self._removed = removed

    def on_routed(self, request: InferenceRequest, decision: Decision) -> None:
        """Tell of a decision."""
        for guard, observer in self._routed:
            guard.attempt("on_routed", observer.on_routed, request, decision)

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
            await asyncio.sleep(DISCOVERY_RETRY_S)
            has_ended = await self._has_ended(note)
        if not self._has_published:
            raise ConfigurationError([f"discovery `{self._guard.plugin}` ended without naming a pool"])

    async def _has_ended(self, publish: Callable[[Sequence[EndpointSpec]], None]) -> bool:
        try:
            await self._watch(publish)
        except Exception as failure:
            if not self._has_published:
                if isinstance(failure, ConfigurationError):
                    raise
                raise ConfigurationError([f"discovery `{self._guard.plugin}` failed: {failure!r}"]) from failure
            self._guard.report("watch", failure)
            return False
        return True


def _checked(endpoints: Sequence[Endpoint], candidates: Sequence[Endpoint]) -> Sequence[Endpoint]:
    """Return the endpoints as a list; raises `PluginFaultError` for one that is no candidate."""
    listed = list(endpoints)
    strangers = set(listed).difference(candidates)
    if strangers:
        raise PluginFaultError(f"returned {sorted(map(repr, strangers))}, which are no candidates")
    return listed
