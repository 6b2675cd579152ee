"""A plugin that fails is contained, counted and named, and the request goes on."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence

import pytest

from epp.observability import Guard, Metrics
from epp.observability.lifecycle_guards import (
    GuardedDiscovery,
    GuardedObserver,
    GuardedParser,
    GuardedProducer,
    GuardedWorker,
)
from epp.observability.scheduling_guards import GuardedFilter, GuardedPicker, GuardedProfileHandler, GuardedScorer
from epp.plugin import (
    NOT_PARSED,
    ConfigurationError,
    Decision,
    DropReason,
    Endpoint,
    EndpointSpec,
    InferenceRequest,
    ParsedBody,
    ProfileResult,
    Rejection,
)
from epp.plugin.testing import make_context, make_endpoint, make_request
from tests.fakes import virtual_time
from tests.fakes.picker import value_of

A, B, STRANGER = make_endpoint("a"), make_endpoint("b"), make_endpoint("stranger")
REQUEST = make_request()


class Anything:
    """A plugin for every extension point that does what it is told."""

    paths = ("completions",)
    is_bounded = False

    def __init__(self, does: Callable[[], object]) -> None:
        self._does = does

    def _do(self, *_: object) -> object:
        return self._does()

    filter = score = pick = select = decide = parse = produce = _do
    on_routed = on_response_head = on_done = on_endpoint_removed = _do


def raises() -> object:
    raise KeyError("a bug")


def refuses() -> object:
    raise Rejection(DropReason.SATURATED, "not now")


def guard() -> tuple[Guard, Metrics]:
    context = make_context()
    metrics = Metrics(context.metrics.registry)
    return Guard("mine", metrics=metrics, log=context.log), metrics


def failures(metrics: Metrics, point: str) -> float | None:
    return value_of(metrics, "epp_plugin_errors_total", plugin="mine", point=point)


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
    ],
)
def test_scores_are_clamped(returned: list[float], clamped: list[float], counted: float | None) -> None:
    assert scores(lambda: returned) == (clamped, counted)


@pytest.mark.parametrize("returned", [[math.nan, 0.5], [2.0, 1.0], [-1.0, 0.5]])
def test_scorer_that_says_it_is_bounded_is_not_believed_against_its_sum(returned: list[float]) -> None:
    one, _ = guard()
    liar = Anything(lambda: returned)
    liar.is_bounded = True
    assert all(0 <= score <= 1 for score in GuardedScorer(one, liar).score(REQUEST, [A, B]))  # type: ignore[arg-type]


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
    assert GuardedPicker(one, Anything(does)).pick(REQUEST, [A, B], [1.0, 2.0]) == [B]  # type: ignore[arg-type]
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


@pytest.mark.parametrize("does", [raises, lambda: None, lambda: {"model": "m"}])
def test_parser_that_fails_leaves_the_request_unread(does: Callable[[], object]) -> None:
    one, metrics = guard()
    assert GuardedParser(one, Anything(does)).parse("/v1/completions", b"") is NOT_PARSED  # type: ignore[arg-type]
    assert failures(metrics, "parse") == 1.0


def test_rejection_where_a_plugin_may_not_refuse_is_a_failure() -> None:
    one, metrics = guard()
    observers = GuardedObserver(routed=[(one, Anything(refuses))], removed=[(one, Anything(refuses))])  # type: ignore[list-item]
    observers.on_routed(REQUEST, Decision(endpoints=[A]))
    observers.on_endpoint_removed(A)
    assert failures(metrics, "on_routed") == 1.0
    assert failures(metrics, "on_endpoint_removed") == 1.0


def test_rejection_of_a_parser_is_no_failure() -> None:
    one, metrics = guard()
    with pytest.raises(Rejection, match="not now"):
        GuardedParser(one, Anything(refuses)).parse("/v1/completions", b"")  # type: ignore[arg-type]
    assert failures(metrics, "parse") is None


async def hangs() -> None:
    await asyncio.Event().wait()


async def fails() -> None:
    raise OSError("no route")


async def cancels() -> None:
    """Await what others have cancelled."""
    shared: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    shared.cancel()
    await shared


@pytest.mark.parametrize("does", [raises, hangs, fails, cancels])
def test_producer_that_fails_or_hangs_is_left_out(does: Callable[[], Awaitable[None]]) -> None:
    one, metrics = guard()
    virtual_time.run(GuardedProducer(one, Anything(does)).produce(REQUEST, [A]))  # type: ignore[arg-type]
    assert failures(metrics, "produce") == 1.0


class Patient:
    """A producer that says how long it may take."""

    deadline_s = 3.0

    def __init__(self) -> None:
        self.has_ended = False

    async def produce(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> None:
        await asyncio.sleep(2.9)
        self.has_ended = True


def test_producer_may_have_a_deadline_of_its_own() -> None:
    one, _ = guard()
    patient = Patient()
    virtual_time.run(GuardedProducer(one, patient).produce(REQUEST, [A]))
    assert patient.has_ended


def test_deadline_that_makes_no_sense_is_refused() -> None:
    one, _ = guard()
    patient = Patient()
    patient.deadline_s = 0.0
    with pytest.raises(ConfigurationError, match=r"producer `mine`: deadline_s must be seconds above 0, not 0\.0"):
        GuardedProducer(one, patient)


class FailsOnce:
    def __init__(self, failure: Callable[[], Awaitable[None]]) -> None:
        self.runs = 0
        self._failure = failure

    async def run_in_background(self) -> None:
        self.runs += 1
        if self.runs == 1:
            await self._failure()


@pytest.mark.parametrize("failure", [fails, cancels])
def test_background_worker_that_fails_is_run_again(failure: Callable[[], Awaitable[None]]) -> None:
    one, metrics = guard()
    worker = FailsOnce(failure)
    virtual_time.run(GuardedWorker(one, worker).run())
    assert worker.runs == 2
    assert failures(metrics, "run_in_background") == 1.0


class Discovers:
    """A discovery that does one thing after the other each time it is started."""

    def __init__(self, *steps: Exception | list[EndpointSpec]) -> None:
        self._steps = list(steps)

    async def watch(self, publish: Callable[[Sequence[EndpointSpec]], None]) -> None:
        while self._steps:
            step = self._steps.pop(0)
            if isinstance(step, Exception):
                raise step
            publish(step)


def test_discovery_that_fails_later_is_started_again() -> None:
    one, metrics = guard()
    published: list[Sequence[EndpointSpec]] = []
    spec = EndpointSpec(name="a", address="10.0.0.1", port=1)
    virtual_time.run(GuardedDiscovery(one, Discovers([spec], ValueError("odd"), [])).run(published.append))
    assert published == [[spec], []]
    assert failures(metrics, "watch") == 1.0


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        pytest.param([ConfigurationError(["no file"])], "no file", id="says what is wrong"),
        pytest.param([ValueError("odd")], r"discovery `mine` failed: ValueError\('odd'\)", id="breaks"),
        pytest.param([], "discovery `mine` ended without naming a pool", id="says nothing"),
    ],
)
def test_discovery_that_fails_at_start_stops_the_start(steps: list[Exception], message: str) -> None:
    one, _ = guard()
    with pytest.raises(ConfigurationError, match=message):
        virtual_time.run(GuardedDiscovery(one, Discovers(*steps)).run(lambda _: None))


def test_observer_that_fails_does_not_silence_the_next() -> None:
    one, metrics = guard()
    told: list[Endpoint] = []

    class Listens:
        def on_routed(self, request: InferenceRequest, decision: Decision) -> None:
            told.append(decision.primary)

        def on_endpoint_removed(self, endpoint: Endpoint) -> None:
            told.append(endpoint)

    broken, listens = Anything(raises), Listens()
    observers = GuardedObserver(routed=[(one, broken), (one, listens)], removed=[(one, broken), (one, listens)])  # type: ignore[list-item]
    observers.on_routed(REQUEST, Decision(endpoints=[A]))
    observers.on_endpoint_removed(B)
    assert told == [A, B]
    assert failures(metrics, "on_routed") == 1.0


def test_guarded_parser_keeps_the_claimed_paths() -> None:
    one, _ = guard()
    parser = GuardedParser(one, Anything(lambda: ParsedBody(model="m")))  # type: ignore[arg-type]
    assert parser.paths == ("completions",)
