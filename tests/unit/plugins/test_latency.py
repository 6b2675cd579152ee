"""Latency that is learned from answers, and what is made of it."""

import random
from typing import Any

import pytest

from epp.plugin import Decision, Endpoint, InferenceRequest, LatencyPredictions, Rejection, Response, Usage
from epp.plugin.testing import make_context, make_endpoint, make_request
from epp_plugins.admitters.latency_slo import LatencySloAdmitter
from epp_plugins.admitters.latency_slo import Params as AdmitterParams
from epp_plugins.admitters.probabilistic import Params as ProbabilisticParams
from epp_plugins.admitters.probabilistic import ProbabilisticAdmitter
from epp_plugins.latency.line import Line
from epp_plugins.producers.predicted_latency import LEAST_SAMPLES, Params, PredictedLatencyProducer
from tests.fakes.catalogue import kept, pool, scores


def test_line_is_learned() -> None:
    line, rng = Line(2), random.Random(3)
    for _ in range(300):
        x = rng.random()
        line.learn((1.0, x), 2.0 + 3.0 * x + rng.gauss(0, 0.01))
    assert line.predict((1.0, 0.5)) == pytest.approx(3.5, abs=0.05)


def test_line_follows_what_changes() -> None:
    line, rng = Line(2), random.Random(3)
    for slope in (3.0, 1.0):
        for _ in range(1000):
            x = rng.random()
            line.learn((1.0, x), slope * x)
    assert line.predict((1.0, 1.0)) == pytest.approx(1.0, abs=0.05)


def test_line_bears_with_features_that_never_change() -> None:
    line = Line(3)
    for _ in range(20_000):
        line.learn((1.0, 0.0, 0.0), 0.2)
    assert line.predict((1.0, 0.0, 0.0)) == pytest.approx(0.2)
    assert line.predict((1.0, 1.0, 1.0)) < 10


@pytest.mark.parametrize("lengths", [(0.0, 8.0), (1.0, 4.0), (3.0, 3.0)], ids=["spread", "two", "one"])
def test_line_stays_good_on_traffic_that_says_little(lengths: tuple[float, float]) -> None:
    line, rng = Line(3), random.Random(5)
    for i in range(60_000):
        x = rng.uniform(*lengths) if lengths[0] == 0 else rng.choice(lengths)
        if i > 1000:
            assert line.predict((1.0, x, 0.0)) == pytest.approx(0.05 + 0.1 * x, abs=0.05)
        line.learn((1.0, x, 0.0), 0.05 + 0.1 * x + rng.gauss(0, 0.005))


@pytest.mark.parametrize("odd", [float("inf"), float("nan")])
def test_sample_that_is_no_number_is_passed_over(odd: float) -> None:
    line = Line(2)
    for _ in range(50):
        line.learn((1.0, 0.0), 0.2)
        line.learn((1.0, odd), 0.2)
        line.learn((1.0, 0.0), odd)
    assert line.predict((1.0, 0.0)) == pytest.approx(0.2, abs=0.01)


def stream(request_id: str, *, tokens: int = 1000, head: dict[str, str] | None = None) -> InferenceRequest:
    request = make_request(prompts=[b"x" * tokens * 4], request_id=request_id, head=head)
    request.stream = True
    return request


def answer(first_s: float, *, tokens: int = 11, tpot_s: float = 0.02) -> Response:
    usage = Usage(completion_tokens=tokens)
    last_s = first_s + (tokens - 1) * tpot_s
    return Response(
        status=200, first_chunk_s=first_s, last_chunk_s=last_s, chunks=tokens, usage=usage, is_complete=True
    )


def teach(producer: PredictedLatencyProducer, endpoint: Endpoint, *, s_per_1000_tokens: float, count: int = 50) -> None:
    for i in range(count):
        request, decision = stream(f"r{i}", tokens=200 * (i % 10)), Decision(endpoints=[endpoint])
        producer.on_routed(request, decision)
        producer.on_done(request, decision, answer(0.1 + 0.2 * (i % 10) * s_per_1000_tokens))


def predictions(producer: PredictedLatencyProducer, endpoints: list[Endpoint], **head: str) -> LatencyPredictions:
    request = stream("asks", head=head)
    producer.produce(request, endpoints)
    found = request.attribute(LatencyPredictions)
    assert found is not None
    return found


def test_each_endpoint_is_predicted_by_its_own_answers() -> None:
    fast, slow, new = pool(3)
    producer = PredictedLatencyProducer(Params())
    teach(producer, fast, s_per_1000_tokens=0.1)
    teach(producer, slow, s_per_1000_tokens=1.0)
    teach(producer, new, s_per_1000_tokens=1.0, count=LEAST_SAMPLES - 1)
    found = predictions(producer, [fast, slow, new])
    assert found.ttft_s == {fast: pytest.approx(0.2, abs=0.02), slow: pytest.approx(1.1, abs=0.05)}
    assert found.tpot_s[fast] == pytest.approx(0.02, abs=0.002)


@pytest.mark.parametrize(
    ("head", "ttft_s", "tpot_s"),
    [
        pytest.param({}, 0.0, 0.0, id="nothing asked"),
        pytest.param({"x-llm-d-slo-ttft-ms": "250", "x-llm-d-slo-tpot-ms": "30"}, 0.25, 0.03, id="both"),
        pytest.param({"x-llm-d-slo-ttft-ms": "soon"}, 0.0, 0.0, id="no number"),
    ],
)
def test_bounds_are_read_from_headers(head: dict[str, str], ttft_s: float, tpot_s: float) -> None:
    found = predictions(PredictedLatencyProducer(Params()), pool(1), **head)
    assert (found.ttft_slo_s, found.tpot_slo_s) == (ttft_s, tpot_s)


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(Response(status=500, first_chunk_s=9.0, last_chunk_s=9.0, chunks=5, is_complete=True), id="error"),
        pytest.param(Response(status=200, first_chunk_s=9.0, last_chunk_s=9.0, chunks=5), id="cut off"),
        pytest.param(Response(status=200, is_complete=True), id="body not shown"),
        pytest.param(Response(), id="no answer"),
    ],
)
def test_nothing_is_learned_from_an_answer_that_was_not_seen(response: Response) -> None:
    (one,) = pool(1)
    producer = PredictedLatencyProducer(Params())
    for i in range(2 * LEAST_SAMPLES):
        request, decision = stream(f"r{i}"), Decision(endpoints=[one])
        producer.on_routed(request, decision)
        producer.on_done(request, decision, response)
    assert predictions(producer, [one]).ttft_s == {}


def asking(ttft_s: dict[Endpoint, float], *, ttft_slo_s: float = 1.0, tpot_slo_s: float = 0.05) -> InferenceRequest:
    request = make_request()
    tpot_s = dict.fromkeys(ttft_s, 0.02)
    request.attach(LatencyPredictions(ttft_s=ttft_s, tpot_s=tpot_s, ttft_slo_s=ttft_slo_s, tpot_slo_s=tpot_slo_s))
    return request


@pytest.mark.parametrize(
    ("strategy", "expected"), [("least", [0.01, 0.51, 1.0, 0.0]), ("most", [1.0, 0.51, 0.01, 0.0])]
)
def test_endpoints_that_are_fast_enough_are_rated_by_their_headroom(strategy: str, expected: list[float]) -> None:
    endpoints = pool(4)
    request = asking(dict(zip(endpoints, (0.1, 0.5, 0.9, 3.0), strict=True)))
    assert scores("latency-scorer", endpoints, request, headroomSelectionStrategy=strategy) == expected


def test_where_none_is_fast_enough_the_least_late_is_best() -> None:
    endpoints = pool(3)
    request = asking(dict(zip(endpoints, (1.1, 2.1, 3.1), strict=True)))
    assert scores("latency-scorer", endpoints, request, headroomSelectionStrategy="most") == [1.0, 0.51, 0.01]


def test_without_predictions_load_and_prefix_count() -> None:
    idle, full, queued = make_endpoint("a"), make_endpoint("b", kv_cache_ratio=1.0), make_endpoint("c", waiting=4)
    assert scores("latency-scorer", [idle, full, queued]) == [0.67, 0.33, 0.33]


def test_tier_of_those_that_are_fast_enough_is_kept() -> None:
    endpoints = pool(3)
    request = asking(dict(zip(endpoints[:2], (0.5, 1.5), strict=True)))
    never: dict[str, Any] = {"epsilonExploreNeg": 0}
    assert kept("slo-headroom-tier-filter", endpoints, request, **never) == ["pod-0", "pod-2"]
    assert kept("slo-headroom-tier-filter", endpoints, request, epsilonExploreNeg=1) == ["pod-1", "pod-2"]
    assert kept("slo-headroom-tier-filter", endpoints[1:2], request, **never) == ["pod-1"]
    assert len(kept("slo-headroom-tier-filter", endpoints, make_request(), **never)) == 3


def test_request_that_can_be_done_without_is_refused_when_everyone_would_be_late() -> None:
    admitter = LatencySloAdmitter(AdmitterParams())
    busy = make_endpoint(kv_cache_ratio=0.5)
    busy.in_flight = type(busy.in_flight)(requests=3)
    request = asking({busy: 2.0})
    admitter.admit(request, [busy])
    request.priority = -1
    with pytest.raises(Rejection):
        admitter.admit(request, [busy])
    admitter.admit(request, [busy, make_endpoint("idle")])
    on_time = asking({busy: 0.5})
    on_time.priority = -1
    admitter.admit(on_time, [busy])


@pytest.mark.parametrize(("waiting", "share"), [(0, 0.0), (1, 0.096), (2, 1.0)])
def test_probability_of_a_refusal_grows_with_saturation(waiting: int, share: float) -> None:
    admitter = ProbabilisticAdmitter(ProbabilisticParams(), make_context(seed=1))
    request, endpoints = make_request(), [make_endpoint(waiting=waiting)]
    admitter.admit(request, endpoints)
    request.priority = -1
    refused = 0
    for _ in range(2000):
        try:
            admitter.admit(request, endpoints)
        except Rejection:
            refused += 1
    assert refused / 2000 == pytest.approx(share, abs=0.03)
