"""Plugins of the scheduling cycle behind their guards: filters, scorers, pickers, profile handlers."""

from collections.abc import Mapping, Sequence

from epp.observability.guard import FAILED, Guard, PluginFaultError
from epp.observability.header_rules import is_header
from epp.plugin import (
    Decision,
    DropReason,
    Endpoint,
    Filter,
    InferenceRequest,
    Picker,
    ProfileHandler,
    ProfileResult,
    Rejection,
    Scorer,
)


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
        scores = list(self._score(request, candidates))
        if len(scores) != len(candidates):
            raise PluginFaultError(f"returned {len(scores)} scores for {len(candidates)} candidates")
        # Three looks at all of them at once cost a quarter of one at each (`bench/micro/scheduling.py`).
        if sum(scores) >= 0 and min(scores, default=0) >= 0 and max(scores, default=0) <= 1:
            return scores
        return [(min(score, 1.0) if score > 0.0 else 0.0) for score in scores]


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
        self.optional_profiles: frozenset[str] = frozenset(getattr(one, "optional_profiles", ()))
        """Those that it can decide without, when nobody can be picked there."""

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
        if not results:
            raise Rejection(DropReason.SATURATED, "no profile has found an endpoint")
        return Decision(endpoints=next(iter(results.values())).picked, results=results)

    def _selected(
        self, request: InferenceRequest, profiles: Sequence[str], results: Mapping[str, ProfileResult]
    ) -> Sequence[str]:
        return [name for name in self._handler.select(request, profiles, results) if name in profiles]

    def _decided(self, request: InferenceRequest, results: Mapping[str, ProfileResult]) -> Decision:
        decision = self._handler.decide(request, results)
        candidates = _candidates_of(results)
        prefill = [] if decision.prefill is None else [decision.prefill]
        if not all(is_header(name, value) for name, value in decision.headers.items()):
            raise PluginFaultError(f"wants the headers {decision.headers!r}, which cannot be set")
        return Decision(
            endpoints=_checked(decision.endpoints, candidates),
            results=results,
            prefill=next(iter(_checked(prefill, candidates)), None),
            headers={name.lower(): value for name, value in decision.headers.items()},
            port=decision.port,
        )


def _candidates_of(results: Mapping[str, ProfileResult]) -> Sequence[Endpoint]:
    """Return the candidates of all profiles that ran, as they are where only one did."""
    if len(results) == 1:
        (result,) = results.values()
        return result.candidates
    return [endpoint for result in results.values() for endpoint in result.candidates]


def _checked(endpoints: Sequence[Endpoint], candidates: Sequence[Endpoint]) -> Sequence[Endpoint]:
    """Return the endpoints as a list; raises `PluginFaultError` for one that is no candidate."""
    listed = list(endpoints)
    if not listed or (len(listed) == 1 and listed[0] in candidates):
        return listed
    strangers = set(listed).difference(candidates)
    if strangers:
        raise PluginFaultError(f"returned {sorted(map(repr, strangers))}, which are no candidates")
    return listed
