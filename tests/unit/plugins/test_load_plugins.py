"""Scorers and filters of load beside the default ones: the formulas of the Go pickers."""

import pytest

from epp.plugin import Endpoint, InferenceRequest, InFlight, OutputEstimate, ParsedBody, PrefixMatches
from epp.plugin.testing import make_endpoint, make_request
from epp_plugins.filters.utilization import Condition, Metric, UtilizationFilter
from epp_plugins.filters.utilization import Params as UtilizationParams
from epp_plugins.producers import inflight_load
from epp_plugins.scorers import active_request, load_aware, token_load
from epp_plugins.scorers.load_choice import LoadParams
from epp_plugins.scorers.running_requests_size import RunningRequestsSizeScorer

REQUEST = make_request()


def busy_with(requests: int, *, tokens: int = 0) -> Endpoint:
    endpoint = make_endpoint()
    endpoint.in_flight = InFlight(requests=requests, unstarted=requests, uncached_tokens=tokens)
    return endpoint


def test_smallest_batch_scores_highest_and_an_unknown_one_as_the_mean() -> None:
    pool = [make_endpoint(running=running) for running in (0, 9, 10, None)]
    assert RunningRequestsSizeScorer(LoadParams()).score(REQUEST, pool) == pytest.approx([1.0, 0.1, 0.0, 1.1 / 3])


@pytest.mark.parametrize(
    ("params", "scores"),
    [
        pytest.param(active_request.Params(), [1.0, 0.75, 0.0], id="relative to the busiest"),
        pytest.param(active_request.Params(idle_threshold=2), [1.0, 1.0, 0.0], id="idle up to a number"),
        pytest.param(
            active_request.Params(max_busy_score=0.4), [1.0, pytest.approx(0.3), 0.0], id="busy is worth less"
        ),
    ],
)
def test_fewest_requests_in_flight_score_highest(params: active_request.Params, scores: list[float]) -> None:
    pool = [busy_with(0), busy_with(2), busy_with(8)]
    assert active_request.ActiveRequestScorer(params).score(REQUEST, pool) == scores


def test_pool_that_is_idle_is_rated_alike() -> None:
    assert active_request.ActiveRequestScorer(active_request.Params()).score(REQUEST, [busy_with(0)] * 2) == [1.0, 1.0]


@pytest.mark.parametrize(
    ("threshold", "scores"),
    [
        pytest.param(128, [0.5, 0.25, 0.0, 0.0, 0.1875], id="default"),
        pytest.param(0, [0.5, 0.25, 0.0, 0.0, 0.1875], id="nonsense is the default"),
        pytest.param(256, [0.5, 0.375, 0.25, 0.0, 0.28125], id="other"),
    ],
)
def test_queue_is_rated_against_a_threshold(threshold: int, scores: list[float]) -> None:
    pool = [make_endpoint(waiting=waiting) for waiting in (0, 64, 128, 1000, None)]
    assert load_aware.LoadAwareScorer(load_aware.Params(threshold=threshold)).score(REQUEST, pool) == scores


def test_least_prompt_to_compute_scores_highest() -> None:
    """This request's own prompt counts too, less what is in the endpoint's cache."""
    request = make_request(prompts=[b"x" * 400])
    cached, fresh, full = busy_with(1, tokens=100), busy_with(1, tokens=100), busy_with(1, tokens=5000)
    request.attach(PrefixMatches(matched_tokens={cached: 75}, total_tokens=100))
    scorer = token_load.TokenLoadScorer(token_load.Params(queue_threshold_tokens=1000))
    assert scorer.score(request, [cached, fresh, full]) == pytest.approx([0.875, 0.8, 0.0])


def test_request_without_a_prompt_adds_nothing() -> None:
    scorer = token_load.TokenLoadScorer(token_load.Params())
    assert scorer.score(make_request(prompts=[]), [busy_with(0)]) == [1.0]


@pytest.mark.parametrize(
    ("metric", "kept"),
    [
        pytest.param(Metric.ACTIVE_REQUESTS, ["idle", "unknown"], id="active requests"),
        pytest.param(Metric.RUNNING_REQUESTS, ["idle", "unknown"], id="running requests"),
        pytest.param(Metric.WAITING_QUEUE, ["idle", "unknown"], id="waiting queue"),
        pytest.param(Metric.KV_CACHE_UTILIZATION, ["idle", "busy", "unknown"], id="kv cache"),
    ],
)
def test_endpoint_above_a_limit_is_left_out(metric: Metric, kept: list[str]) -> None:
    idle, busy = make_endpoint("idle"), make_endpoint("busy", waiting=9, running=9, kv_cache_ratio=0.9)
    unknown = make_endpoint("unknown", waiting=None, running=None, kv_cache_ratio=None)
    busy.in_flight = InFlight(requests=9)
    limits = UtilizationParams(conditions=[Condition(metric=metric, max_value=5)])
    assert [one.name for one in UtilizationFilter(limits).filter(REQUEST, [idle, busy, unknown])] == kept


@pytest.mark.parametrize("fallback", [False, True])
def test_when_all_are_above_the_limit_the_fallback_decides(*, fallback: bool) -> None:
    pool = [make_endpoint(waiting=9)]
    limits = [Condition(metric=Metric.WAITING_QUEUE, max_value=8)]
    params = UtilizationParams(conditions=limits, fallback_on_empty=fallback)
    assert list(UtilizationFilter(params).filter(REQUEST, pool)) == (pool if fallback else [])


@pytest.mark.parametrize(
    ("params", "wanted", "tokens"),
    [
        pytest.param(inflight_load.Params(add_estimated_output_tokens=True), None, 150, id="ratio of the prompt"),
        pytest.param(inflight_load.Params(add_estimated_output_tokens=True), 16, 16, id="what the client wants back"),
        pytest.param(
            inflight_load.Params(add_estimated_output_tokens=True, max_estimated_output_tokens=20), 90, 20, id="bound"
        ),
        pytest.param(
            inflight_load.Params(add_estimated_output_tokens=True, output_ratio=0.25), None, 25, id="another ratio"
        ),
    ],
)
def test_output_is_estimated_from_the_prompt(params: inflight_load.Params, wanted: int | None, tokens: int) -> None:
    parsed = ParsedBody(model="m", prompts=[b"x" * 400], max_output_tokens=wanted)
    request = InferenceRequest(request_id="", head={}, parsed=parsed, body_bytes=0)
    inflight_load.InflightLoadProducer(params).produce(request, [])
    assert request.attribute(OutputEstimate) == OutputEstimate(tokens=tokens)


def test_output_is_not_estimated_unless_it_is_asked_for() -> None:
    inflight_load.InflightLoadProducer(inflight_load.Params()).produce(REQUEST, [])
    assert REQUEST.attribute(OutputEstimate) is None


def test_estimated_output_counts_for_the_token_load() -> None:
    pool = [busy_with(1), busy_with(1)]
    pool[0].in_flight = InFlight(requests=1, estimated_tokens=100)
    scorer = token_load.TokenLoadScorer(token_load.Params(queue_threshold_tokens=200))
    assert scorer.score(make_request(prompts=[]), pool) == [0.5, 1.0]
