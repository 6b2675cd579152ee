"""Filters, scorers, pickers and profile handlers that fail: the request goes on without them."""

import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

import pytest

from epp.observability.scheduling_guards import GuardedFilter, GuardedPicker, GuardedProfileHandler, GuardedScorer
from epp.plugin import Decision, InferenceRequest, ProfileResult
from epp.plugin.testing import make_endpoint, make_request
from epp.scheduling import Scheduler
from tests.fakes.guarded import Anything, failures, guard, raises, refuses
from tests.fakes.picker import assembly_of

A, B, STRANGER = make_endpoint("a"), make_endpoint("b"), make_endpoint("stranger")
REQUEST = make_request()


def scores(does: Callable[[], object]) -> tuple[Sequence[float], float | None]:
    one, metrics = guard()
    result = GuardedScorer(one, Anything(does)).score(REQUEST, [A, B])  # type: ignore[arg-type]
    return result, failures(metrics, "score")


@pytest.mark.parametrize(
    ("returned", "clamped", "counted"),
    [
        pytest.param([0.25, 1], [0.25, 1.0], None, id="as it is"),
        pytest.param([-3.0, 7.0], [0.0, 1.0], None, id="out of range"),
        pytest.param([-0.5, 1.5], [0.0, 1.0], None, id="out of range with a good sum"),
        pytest.param([math.nan, math.inf], [0.0, 1.0], 1.0, id="not a number"),
        pytest.param([-math.inf, True], [0.0, 1.0], None, id="odd"),
        pytest.param([Decimal("0.5"), Decimal("0.25")], [0.5, 0.25], None, id="decimals"),
        pytest.param([Fraction(1, 2), Fraction(1, 4)], [0.5, 0.25], None, id="fractions"),
    ],
)
def test_scores_are_clamped(returned: list[float], clamped: list[float], counted: float | None) -> None:
    result, count = scores(lambda: returned)
    assert (result, count) == (clamped, counted)
    assert [3.0 * score for score in result] == [3.0 * score for score in clamped]


@pytest.mark.parametrize("returned", [[math.nan, 0.5], [2.0, 1.0], [-1.0, 0.5]])
def test_scorer_that_says_it_is_bounded_is_not_believed_against_its_sum(returned: list[float]) -> None:
    one, _ = guard()
    liar = Anything(lambda: returned)
    liar.is_bounded = True
    assert all(0 <= score <= 1 for score in GuardedScorer(one, liar).score(REQUEST, [A, B]))  # type: ignore[arg-type]


def test_scorer_rates_though_nobody_can_ask_whether_it_is_bounded() -> None:
    class Shy(Anything):
        @property
        def is_bounded(self) -> bool:  # type: ignore[override]
            raise RuntimeError("not yet")

    one, metrics = guard()
    shy = GuardedScorer(one, Shy(lambda: [0.5, 7.0]))  # type: ignore[arg-type]
    assert shy.score(REQUEST, [A, B]) == [0.5, 1.0]
    assert failures(metrics, "is_bounded") == 1.0


@pytest.mark.parametrize("answer", ["no", 1, object()])
def test_scorer_is_bounded_only_if_it_says_true(answer: object) -> None:
    one, _ = guard()
    liar = Anything(lambda: [-0.5, 1.5])
    liar.is_bounded = answer  # type: ignore[assignment]
    assert GuardedScorer(one, liar).score(REQUEST, [A, B]) == [0.0, 1.0]  # type: ignore[arg-type]


@pytest.mark.parametrize("does", [raises, lambda: [0.5], lambda: None, lambda: ["x", "y"]])
def test_scorer_that_fails_rates_all_alike_and_is_counted(does: Callable[[], object]) -> None:
    assert scores(does) == ([0.0, 0.0], 1.0)


@pytest.mark.parametrize("returned", [lambda: {A}, lambda: iter([A]), lambda: (one for one in [A])])
def test_filter_may_return_any_collection(returned: Callable[[], object]) -> None:
    one, _ = guard()
    assert GuardedFilter(one, Anything(returned)).filter(REQUEST, [A, B]) == [A]  # type: ignore[arg-type]


@pytest.mark.parametrize("does", [raises, lambda: [STRANGER], lambda: None])
def test_filter_that_fails_keeps_all(does: Callable[[], object]) -> None:
    one, metrics = guard()
    assert GuardedFilter(one, Anything(does)).filter(REQUEST, [A, B]) == [A, B]  # type: ignore[arg-type]
    assert failures(metrics, "filter") == 1.0


@pytest.mark.parametrize("does", [raises, list, lambda: [STRANGER]])
def test_picker_that_fails_is_replaced_by_the_highest_total(does: Callable[[], object]) -> None:
    one, metrics = guard()
    assert GuardedPicker(one, Anything(does)).pick(REQUEST, [A, B], [1.0, 2.0]) == (B,)  # type: ignore[arg-type]
    assert failures(metrics, "pick") == 1.0


def test_profile_handler_that_fails_runs_the_first_profile_and_takes_its_pick() -> None:
    one, metrics = guard()
    handler = GuardedProfileHandler(one, Anything(raises))  # type: ignore[arg-type]
    results: Mapping[str, ProfileResult] = {
        "p": ProfileResult(profile="p", candidates=[A], columns=[], totals=[0.0], picked=[A])
    }
    assert handler.select(REQUEST, ["p", "q"], {}) == ["p"]
    assert not handler.select(REQUEST, ["p", "q"], results)
    assert handler.decide(REQUEST, results) == Decision(endpoints=[A], results=results)
    assert failures(metrics, "select") == 2.0


@pytest.mark.parametrize("does", [lambda: None, lambda: Decision(endpoints=[STRANGER]), lambda: "p", list, refuses])
def test_decision_that_is_none_falls_back_to_the_first_pick(does: Callable[[], object]) -> None:
    one, metrics = guard()
    result = ProfileResult(profile="p", candidates=[A], columns=[], totals=[0.0], picked=[A])
    decision = GuardedProfileHandler(one, Anything(does)).decide(REQUEST, {"p": result})  # type: ignore[arg-type]
    assert decision.primary is A
    assert failures(metrics, "decide") == 1.0


def test_selection_that_is_none_runs_the_first_profile() -> None:
    one, metrics = guard()
    assert GuardedProfileHandler(one, Anything(lambda: None)).select(REQUEST, ["p", "q"], {}) == ["p"]  # type: ignore[arg-type]
    assert failures(metrics, "select") == 1.0


def test_profile_handler_that_selects_nothing_known_runs_the_first_profile() -> None:
    one, _ = guard()
    assert GuardedProfileHandler(one, Anything(lambda: ["z"])).select(REQUEST, ["p"], {}) == ["p"]  # type: ignore[arg-type]


@pytest.mark.parametrize("headers", [None, 0, 7, [A], {"a": 1}, {1: "a"}, {"host": "a"}, {"a": "\n"}])
def test_decision_with_headers_that_are_none_falls_back_to_the_first_pick(headers: object) -> None:
    one, metrics = guard()
    result = ProfileResult(profile="p", candidates=[A, B], columns=[], totals=[0.0, 0.0], picked=(A,))
    does = lambda: Decision(endpoints=[B], headers=headers)  # type: ignore[arg-type]  # noqa: E731 - as the others
    decision = GuardedProfileHandler(one, Anything(does)).decide(REQUEST, {"p": result})  # type: ignore[arg-type]
    assert decision == Decision(endpoints=(A,), results={"p": result})
    assert failures(metrics, "decide") == 1.0


def test_decisions_headers_are_copied_in_lower_case() -> None:
    headers = {"X-Zone": "a"}
    one, _ = guard()
    handler = GuardedProfileHandler(one, Anything(lambda: Decision(endpoints=[A], headers=headers)))  # type: ignore[arg-type]
    result = ProfileResult(profile="p", candidates=[A], columns=[], totals=[0.0], picked=(A,))
    decision = handler.decide(REQUEST, {"p": result})
    headers["X-Zone"] = "\n"
    assert decision.headers == {"x-zone": "a"}


def test_decision_with_a_stranger_behind_the_pick_falls_back_to_the_pick() -> None:
    """The pick is the profile's: a handler that adds to it has a decision of its own to be checked."""
    one, metrics = guard()

    class Adds:
        def select(
            self, request: InferenceRequest, profiles: Sequence[str], results: Mapping[str, ProfileResult]
        ) -> Sequence[str]:
            return profiles

        def decide(self, request: InferenceRequest, results: Mapping[str, ProfileResult]) -> Decision:
            endpoints = results["default"].picked
            endpoints += type(endpoints)([STRANGER])  # type: ignore[operator, call-arg]
            return Decision(endpoints=endpoints)

    (profile,) = assembly_of()[0].profiles
    decision = Scheduler([profile], GuardedProfileHandler(one, Adds())).schedule(REQUEST, [A])
    assert list(decision.endpoints) == [A]
    assert failures(metrics, "decide") == 1.0
