"""Plugins of the scheduling cycle behind their guards: filters, scorers, pickers, profile handlers.

Each has its own ``try``, where others use `Guard.attempt`: a call less at each plugin and request, which
`bench/micro/scheduling.py` shows.
"""

from collections.abc import Mapping, Sequence

from epp.observability.guard import Guard, PluginFaultError
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
        try:
            return _checked(self._filter(request, candidates), candidates)
        except Exception as failure:  # noqa: BLE001 - third-party code: contained, counted and named
            self._guard.contain("filter", failure)
            return candidates


class GuardedScorer:
    """A scorer whose numbers are clamped to 0..1, and which rates all alike when it fails."""

    def __init__(self, guard: Guard, one: Scorer) -> None:
        self._guard = guard
        self._score = one.score
        self._is_bounded = guard.attempt("is_bounded", _is_bounded, one) is True

    def score(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Sequence[float]:
        """Return the plugin's ratings; what is not a number counts as 0."""
        try:
            scores = self._score(request, candidates)
            count = len(candidates)
            if self._is_bounded and type(scores) is list and len(scores) == count:
                # Whoever says so is believed as far as the sum goes: one look instead of three, and a copy.
                total = sum(scores)
                if type(total) is float and 0.0 <= total <= count:
                    return scores
            scores = list(scores)
            if len(scores) == count:
                return self._clamped(scores, sum(scores))
            failure: Exception = PluginFaultError(f"returned {len(scores)} scores for {len(candidates)} candidates")
        except Exception as raised:  # noqa: BLE001 - third-party code: contained, counted and named
            failure = raised
        self._guard.contain("score", failure)
        return [0.0] * len(candidates)

    def _clamped(self, scores: Sequence[float], total: object) -> Sequence[float]:
        """Look at all of them at once, for a quarter of what one at each costs (`bench/micro/scheduling.py`).

        A sum that is no float is of numbers that may not be multiplied with a weight, such as decimals.
        """
        is_usual = isinstance(total, (float, int)) and 0 <= total <= len(scores)
        if is_usual and min(scores) >= 0 and max(scores) <= 1:
            return scores
        strange = [score for score in scores if score != score]  # noqa: PLR0124 - NaN is what differs from itself
        if strange:
            self._guard.report("score", PluginFaultError(f"returned {len(strange)} scores that are no numbers"))
        return [float(min(score, 1.0)) if score > 0.0 else 0.0 for score in scores]


def _is_bounded(one: Scorer) -> bool:
    return getattr(one, "is_bounded", False) is True


class GuardedPicker:
    """A picker that is replaced by "the highest total" when it fails."""

    def __init__(self, guard: Guard, one: Picker) -> None:
        self._guard = guard
        self._pick = one.pick

    def pick(
        self, request: InferenceRequest, candidates: Sequence[Endpoint], totals: Sequence[float]
    ) -> Sequence[Endpoint]:
        """Return the plugin's choice, as a tuple."""
        try:
            picked = self._pick(request, candidates, totals)
            if type(picked) is list and len(picked) == 1 and picked[0] in candidates:
                return (picked[0],)
            checked = _checked(picked, candidates)
            if checked:
                return tuple(checked)
            failure: Exception = PluginFaultError("picked nothing")
        except Exception as raised:  # noqa: BLE001 - third-party code: contained, counted and named
            failure = raised
        self._guard.contain("pick", failure)
        return (candidates[max(range(len(candidates)), key=totals.__getitem__)],)


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
        try:
            selected = [name for name in self._handler.select(request, profiles, results) if name in profiles]
        except Exception as failure:  # noqa: BLE001 - third-party code: contained, counted and named
            self._guard.contain("select", failure)
            selected = []
        return selected if selected or results else profiles[:1]

    def decide(self, request: InferenceRequest, results: Mapping[str, ProfileResult]) -> Decision:
        """Return the plugin's decision."""
        try:
            return _checked_decision(self._handler.decide(request, results), results)
        except Exception as failure:  # noqa: BLE001 - third-party code: contained, counted and named
            self._guard.contain("decide", failure)
        if not results:
            raise Rejection(DropReason.SATURATED, "no profile has found an endpoint")
        return Decision(endpoints=next(iter(results.values())).picked, results=results)


def _checked_decision(decision: Decision, results: Mapping[str, ProfileResult]) -> Decision:
    """Return the decision as it may be done; raises `PluginFaultError` where it may not."""
    endpoints, prefill, headers = decision.endpoints, decision.prefill, {}
    if type(decision) is Decision and decision.results is results and not (prefill or decision.headers):
        for result in results.values():
            if endpoints is result.picked:
                return decision  # a profile's pick as it is, and nothing else
    if prefill is not None:
        _checked([prefill], _candidates_of(results))
    for name, value in decision.headers.items():
        if not is_header(name, value):
            raise PluginFaultError(f"wants the headers {decision.headers!r}, which cannot be set")
        headers[name.lower()] = value
    for result in results.values():
        if endpoints is result.picked:
            break  # that is a tuple of candidates
    else:
        endpoints = _checked(endpoints, _candidates_of(results))
    return Decision(
        endpoints=endpoints,
        results=results,
        prefill=prefill,
        headers=headers,
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
