"""The guard around a plugin: wrapped once, when it is assembled.

A plugin is other people's code on the path of every request. Whatever it does - raise, return too few numbers, pick an
endpoint that is no candidate - the request goes on without it, and the failure is logged and counted under its name.
A `Rejection` is no failure: that is how a plugin refuses a request.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import ParamSpec, TypeVar

from structlog.typing import FilteringBoundLogger

from epp.observability.metrics import Metrics
from epp.plugin import (
    Decision,
    Endpoint,
    EndpointRemovedObserver,
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


class PluginFaultError(ValueError):
    """A plugin returned something that its extension point does not allow."""


class Guard:
    """Runs one plugin's calls and contains their failures."""

    def __init__(self, plugin: str, *, metrics: Metrics, log: FilteringBoundLogger) -> None:
        self.plugin = plugin
        self._metrics = metrics
        self._log = log.bind(plugin=plugin)

    def attempt(self, point: str, fallback: T, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what ``call`` returns, or ``fallback`` after noting its failure at the extension point."""
        try:
            return call(*args, **kwargs)
        except Rejection:
            raise
        except Exception as failure:  # noqa: BLE001 - third-party code: contained, counted and named
            self._report(point, failure)
            return fallback

    async def attempt_until(self, point: str, deadline_s: float, pending: Awaitable[None]) -> None:
        """Await ``pending``; note its failure, or that it was not done in time."""
        try:
            async with asyncio.timeout(deadline_s):
                await pending
        except Rejection:
            raise
        except Exception as failure:  # noqa: BLE001 - third-party code: contained, counted and named
            self._report(point, failure)

    def _report(self, point: str, failure: Exception) -> None:
        self._metrics.plugin_failed(self.plugin, point)
        self._log.error("plugin_failed", point=point, error=repr(failure), exc_info=failure)


class GuardedFilter:
    """A filter that keeps every candidate when it fails."""

    def __init__(self, guard: Guard, one: Filter) -> None:
        self._guard = guard
        self._filter = one.filter

    def filter(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """Return what the plugin keeps."""
        return self._guard.attempt("filter", candidates, self._kept, request, candidates)

    def _kept(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Sequence[Endpoint]:
        kept = self._filter(request, candidates)
        _require_candidates(kept, candidates)
        return kept


class GuardedScorer:
    """A scorer whose numbers are clamped to 0..1, and which rates all alike when it fails."""

    def __init__(self, guard: Guard, one: Scorer) -> None:
        self._guard = guard
        self._score = one.score

    def score(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Sequence[float]:
        """Return the plugin's ratings; what is not a number counts as 0."""
        return self._guard.attempt("score", [0.0] * len(candidates), self._clamped, request, candidates)

    def _clamped(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Sequence[float]:
        raw = self._score(request, candidates)
        if len(raw) != len(candidates):
            message = f"returned {len(raw)} scores for {len(candidates)} candidates"
            raise PluginFaultError(message)
        return [(min(score, 1.0) if score > 0.0 else 0.0) for score in raw]


class GuardedPicker:
    """A picker that is replaced by "the highest total" when it fails."""

    def __init__(self, guard: Guard, one: Picker) -> None:
        self._guard = guard
        self._pick = one.pick

    def pick(
        self, request: InferenceRequest, candidates: Sequence[Endpoint], totals: Sequence[float]
    ) -> Sequence[Endpoint]:
        """Return the plugin's choice."""
        best = max(range(len(candidates)), key=totals.__getitem__)
        return self._guard.attempt("pick", [candidates[best]], self._picked, request, candidates, totals)

    def _picked(
        self, request: InferenceRequest, candidates: Sequence[Endpoint], totals: Sequence[float]
    ) -> Sequence[Endpoint]:
        picked = self._pick(request, candidates, totals)
        _require_candidates(picked, candidates)
        if not picked:
            message = "picked nothing"
            raise PluginFaultError(message)
        return picked


class GuardedProfileHandler:
    """A profile handler that is replaced by "run the first profile, take its pick" when it fails."""

    def __init__(self, guard: Guard, one: ProfileHandler) -> None:
        self._guard = guard
        self._handler = one

    def select(
        self, request: InferenceRequest, profiles: Sequence[str], results: Mapping[str, ProfileResult]
    ) -> Sequence[str]:
        """Return the profiles that the plugin wants to run next; the first one if it wants none at all."""
        fallback = () if results else profiles[:1]
        selected = self._guard.attempt("select", fallback, self._handler.select, request, profiles, results)
        known = [name for name in selected if name in profiles]
        return known or fallback

    def decide(self, request: InferenceRequest, results: Mapping[str, ProfileResult]) -> Decision:
        """Return the plugin's decision."""
        first = next(iter(results.values()))
        return self._guard.attempt("decide", Decision(first.picked, results), self._decided, request, results)

    def _decided(self, request: InferenceRequest, results: Mapping[str, ProfileResult]) -> Decision:
        decision = self._handler.decide(request, results)
        if not decision.endpoints:
            message = "decided for no endpoint"
            raise PluginFaultError(message)
        return decision


class GuardedProducer:
    """A producer that attaches nothing when it fails or takes longer than its deadline."""

    def __init__(self, guard: Guard, one: Producer, *, deadline_s: float) -> None:
        self._guard = guard
        self._produce = one.produce
        self._deadline_s = deadline_s

    async def produce(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> None:
        """Let the plugin attach its attributes."""
        pending = self._guard.attempt("produce", None, self._produce, request, candidates)
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
        return self._guard.attempt("parse", None, self._parse, path, body)


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
            guard.attempt("on_routed", None, observer.on_routed, request, decision)

    def on_endpoint_removed(self, endpoint: Endpoint) -> None:
        """Tell that an endpoint left the pool."""
        for guard, observer in self._removed:
            guard.attempt("on_endpoint_removed", None, observer.on_endpoint_removed, endpoint)


def _require_candidates(endpoints: Sequence[Endpoint], candidates: Sequence[Endpoint]) -> None:
    strangers = set(endpoints).difference(candidates)
    if strangers:
        message = f"returned {sorted(map(repr, strangers))}, which are no candidates"
        raise PluginFaultError(message)
