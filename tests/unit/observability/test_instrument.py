"""A plugin that fails is contained, counted and named, and the request goes on."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence

import pytest

from epp.observability import Guard, Metrics
from epp.observability.instrument import (
    GuardedFilter,
    GuardedObserver,
    GuardedParser,
    GuardedPicker,
    GuardedProducer,
    GuardedProfileHandler,
    GuardedScorer,
)
from epp.plugin import Decision, DropReason, Endpoint, InferenceRequest, ParsedBody, ProfileResult, Rejection
from epp.plugin.testing import make_context, make_endpoint, make_request
from tests.fakes.picker import value_of

A, B, STRANGER = make_endpoint("a"), make_endpoint("b"), make_endpoint("stranger")
REQUEST = make_request()


class Anything:
    """A plugin for every extension point that does what it is told."""

    paths = ("completions",)

    def __init__(self, does: Callable[[], object]) -> None:
        self._does = does

    def _do(self, *_: object) -> object:
        return self._does()

    filter = score = pick = select = decide = parse = produce = on_routed = on_endpoint_removed = _do


def raises() -> object:
    message = "a bug"
    raise KeyError(message)


def refuses() -> object:
    raise Rejection(DropReason.SATURATED, "not now")


def guard() -> tuple[Guard, Metrics]:
    context = make_context()
    metrics = Metrics(context.metrics)
    return Guard("mine", metrics=metrics, log=context.log), metrics


def failures(metrics: Metrics, point: str) -> float | None:
    return value_of(metrics, "epp_plugin_errors_total", plugin="mine", point=point)


def scores(does: Callable[[], object]) -> tuple[Sequence[float], float | None]:
    one, metrics = guard()
    result = GuardedScorer(one, Anything(does)).score(REQUEST, [A, B])  # type: ignore[arg-type]
    return result, failures(metrics, "score")


@pytest.mark.parametrize(
    ("returned", "clamped"),
    [
        pytest.param([0.25, 1], [0.25, 1.0], id="as it is"),
        pytest.param([-3.0, 7.0], [0.0, 1.0], id="out of range"),
        pytest.param([math.nan, math.inf], [0.0, 1.0], id="not a number"),
        pytest.param([-math.inf, True], [0.0, 1.0], id="odd"),
    ],
)
def test_scores_are_clamped(returned: list[float], clamped: list[float]) -> None:
    assert scores(lambda: returned) == (clamped, None)


@pytest.mark.parametrize("does", [raises, lambda: [0.5], lambda: None, lambda: ["x", "y"]])
def test_scorer_that_fails_rates_all_alike_and_is_counted(does: Callable[[], object]) -> None:
    assert scores(does) == ([0.0, 0.0], 1.0)


@pytest.mark.parametrize("does", [raises, lambda: [STRANGER], lambda: None])
def test_filter_that_fails_keeps_all(does: Callable[[], object]) -> None:
    one, metrics = guard()
    assert GuardedFilter(one, Anything(does)).filter(REQUEST, [A, B]) == [A, B]  # type: ignore[arg-type]
    assert failures(metrics, "filter") == 1.0


@pytest.mark.parametrize("does", [raises, list, lambda: [STRANGER]])
def test_picker_that_fails_is_replaced_by_the_highest_total(does: Callable[[], object]) -> None:
    one, metrics = guard()
    assert GuardedPicker(one, Anything(does)).pick(REQUEST, [A, B], [1.0, 2.0]) == [B]  # type: ignore[arg-type]
    assert failures(metrics, "pick") == 1.0


def test_profile_handler_that_fails_runs_the_first_profile_and_takes_its_pick() -> None:
    one, metrics = guard()
    handler = GuardedProfileHandler(one, Anything(raises))  # type: ignore[arg-type]
    results: Mapping[str, ProfileResult] = {"p": ProfileResult("p", [A], [], [0.0], [A])}
    assert handler.select(REQUEST, ["p", "q"], {}) == ["p"]
    assert handler.select(REQUEST, ["p", "q"], results) == ()
    assert handler.decide(REQUEST, results) == Decision([A], results)
    assert failures(metrics, "select") == 2.0


def test_profile_handler_that_selects_nothing_known_runs_the_first_profile() -> None:
    one, _ = guard()
    assert GuardedProfileHandler(one, Anything(lambda: ["z"])).select(REQUEST, ["p"], {}) == ["p"]  # type: ignore[arg-type]


def test_parser_that_fails_leaves_the_request_unread() -> None:
    one, metrics = guard()
    assert GuardedParser(one, Anything(raises)).parse("/v1/completions", b"") is None  # type: ignore[arg-type]
    assert failures(metrics, "parse") == 1.0


def test_rejection_of_a_plugin_is_no_failure() -> None:
    one, metrics = guard()
    with pytest.raises(Rejection, match="not now"):
        GuardedParser(one, Anything(refuses)).parse("/v1/completions", b"")  # type: ignore[arg-type]
    assert failures(metrics, "parse") is None


async def hangs() -> None:
    await asyncio.Event().wait()


async def fails() -> None:
    message = "no route"
    raise OSError(message)


@pytest.mark.parametrize("does", [raises, hangs, fails])
async def test_producer_that_fails_or_hangs_is_left_out(does: Callable[[], Awaitable[None]]) -> None:
    one, metrics = guard()
    await GuardedProducer(one, Anything(does), deadline_s=0.01).produce(REQUEST, [A])  # type: ignore[arg-type]
    assert failures(metrics, "produce") == 1.0


def test_observer_that_fails_does_not_silence_the_next() -> None:
    one, metrics = guard()
    told: list[Endpoint] = []

    class Listens:
        def on_routed(self, request: InferenceRequest, decision: Decision) -> None:
            del request
            told.append(decision.primary)

        def on_endpoint_removed(self, endpoint: Endpoint) -> None:
            told.append(endpoint)

    broken, listens = Anything(raises), Listens()
    observers = GuardedObserver(routed=[(one, broken), (one, listens)], removed=[(one, broken), (one, listens)])  # type: ignore[list-item]
    observers.on_routed(REQUEST, Decision([A]))
    observers.on_endpoint_removed(B)
    assert told == [A, B]
    assert failures(metrics, "on_routed") == 1.0


def test_guarded_parser_keeps_the_claimed_paths() -> None:
    one, _ = guard()
    parser = GuardedParser(one, Anything(lambda: ParsedBody(model="m")))  # type: ignore[arg-type]
    assert parser.paths == ("completions",)
