"""Plugins on prefix matches beside the scorer: the rules of the Go pickers."""

import pytest

from epp.plugin import ConfigurationError, Decision, Endpoint, InferenceRequest, InFlight, PrefixMatches, ProfileResult
from epp.plugin.testing import make_context, make_endpoint, make_request
from epp_plugins.filters.prefix_cache_affinity import Params as AffinityParams
from epp_plugins.filters.prefix_cache_affinity import PrefixCacheAffinityFilter, TtftSource
from epp_plugins.scorers.no_hit_lru import NoHitLruScorer
from epp_plugins.scorers.no_hit_lru import Params as LruParams


def pool_of(*uncached_tokens: int) -> list[Endpoint]:
    pool = [make_endpoint(f"pod-{i}") for i in range(len(uncached_tokens))]
    for endpoint, tokens in zip(pool, uncached_tokens, strict=True):
        endpoint.in_flight = InFlight(uncached_tokens=tokens)
    return pool


def matching(pool: list[Endpoint], *tokens: int) -> InferenceRequest:
    """Return a request of 100 tokens that matches so many on each endpoint."""
    request = make_request()
    matched = {endpoint: count for endpoint, count in zip(pool, tokens, strict=True) if count}
    request.attach(PrefixMatches(matched_tokens=matched, total_tokens=100))
    return request


def kept(params: AffinityParams, pool: list[Endpoint], *tokens: int) -> list[int]:
    one = PrefixCacheAffinityFilter(params, make_context())
    return [pool.index(endpoint) for endpoint in one.filter(matching(pool, *tokens), pool)]


def test_endpoints_with_most_of_the_prompt_are_kept() -> None:
    assert kept(AffinityParams(), pool_of(0, 0, 0), 80, 100, 79) == [0, 1]


def test_all_are_kept_when_none_has_most_of_it() -> None:
    assert kept(AffinityParams(), pool_of(0, 0), 79, 0) == [0, 1]


@pytest.mark.parametrize(
    ("penalty_ms", "indices"),
    [
        pytest.param(1000.0, [0], id="as long as is allowed"),
        pytest.param(999.0, [0, 1], id="longer"),
        pytest.param(0.0, [0], id="always sticky"),
    ],
)
def test_sticky_endpoint_with_a_long_queue_is_left(penalty_ms: float, indices: list[int]) -> None:
    params = AffinityParams(max_ttft_penalty_ms=penalty_ms, peak_prefill_throughput=1000)
    assert kept(params, pool_of(1500, 500), 100, 0) == indices


def test_others_are_explored_now_and_then() -> None:
    assert kept(AffinityParams(exploration_probability=1.0), pool_of(0, 0), 100, 0) == [0, 1]


def test_prompt_that_is_not_known_keeps_all() -> None:
    pool = pool_of(0, 0)
    assert PrefixCacheAffinityFilter(AffinityParams(), make_context()).filter(make_request(), pool) is pool


def test_latency_predictor_is_refused_as_long_as_there_is_none() -> None:
    with pytest.raises(ConfigurationError, match="latencyPredictor is not there"):
        PrefixCacheAffinityFilter(AffinityParams(ttft_source=TtftSource.LATENCY_PREDICTOR), make_context())


def test_warm_prompt_is_rated_alike() -> None:
    pool = pool_of(0, 0)
    assert NoHitLruScorer(LruParams()).score(matching(pool, 1, 0), pool) == [0.5, 0.5]


def test_cold_prompt_goes_to_those_never_used_and_then_to_the_oldest() -> None:
    scorer, pool = NoHitLruScorer(LruParams()), pool_of(0, 0, 0, 0, 0)
    cold = matching(pool, 0, 0, 0, 0, 0)
    for endpoint in (pool[0], pool[3], pool[0]):
        scorer.on_routed(cold, Decision(endpoints=[endpoint]))
    assert scorer.score(cold, pool) == [0.0, 1.0, 0.75, 0.25, 0.5]


def test_single_candidate_rates_1() -> None:
    pool = pool_of(0)
    assert NoHitLruScorer(LruParams()).score(matching(pool, 0), pool) == [1.0]


def test_warm_prompt_and_removed_endpoint_are_not_remembered() -> None:
    scorer, pool = NoHitLruScorer(LruParams()), pool_of(0, 0)
    result = ProfileResult(profile="default", candidates=pool, columns=[], totals=[], picked=[pool[0]])
    scorer.on_routed(matching(pool, 5, 0), Decision(endpoints=[pool[0]], results={"default": result}))
    scorer.on_routed(matching(pool, 0, 0), Decision(endpoints=[pool[1]]))
    scorer.on_endpoint_removed(pool[1])
    assert scorer.score(matching(pool, 0, 0), pool) == [1.0, 0.0]


def test_pick_of_the_prefill_profile_is_remembered_too() -> None:
    scorer, pool = NoHitLruScorer(LruParams()), pool_of(0, 0, 0)
    prefill = ProfileResult(profile="prefill", candidates=pool, columns=[], totals=[], picked=[pool[1]])
    scorer.on_routed(matching(pool, 0, 0, 0), Decision(endpoints=[pool[0]], results={"prefill": prefill}))
    assert scorer.score(matching(pool, 0, 0, 0), pool) == [0.5, 0.0, 1.0]


def test_as_many_endpoints_are_remembered_as_are_wanted() -> None:
    scorer, pool = NoHitLruScorer(LruParams(lru_size=1)), pool_of(0, 0)
    cold = matching(pool, 0, 0)
    for endpoint in pool:
        scorer.on_routed(cold, Decision(endpoints=[endpoint]))
    assert scorer.score(cold, pool) == [1.0, 0.0]
