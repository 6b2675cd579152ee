"""A plugin that fails is contained, counted and named, and the request goes on."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from epp.observability.lifecycle_guards import (
    GuardedDiscovery,
    GuardedObserver,
    GuardedParser,
    GuardedProducer,
    GuardedWorker,
)
from epp.plugin import (
    NOT_PARSED,
    ConfigurationError,
    Decision,
    Endpoint,
    EndpointSpec,
    InferenceRequest,
    ParsedBody,
    Rejection,
)
from epp.plugin.testing import make_endpoint, make_request
from tests.fakes import virtual_time
from tests.fakes.guarded import Anything, failures, guard, raises, refuses

A, B, STRANGER = make_endpoint("a"), make_endpoint("b"), make_endpoint("stranger")
REQUEST = make_request()


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
