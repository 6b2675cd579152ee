"""The formulas of the built-in scorers."""

import pytest

from epp.plugin import Load, PrefixMatches
from epp.plugin.testing import make_endpoint, make_request
from epp_plugins.scorers import load_choice, prefix_cache
from epp_plugins.scorers.kv_cache_utilization import KvCacheUtilizationScorer
from epp_plugins.scorers.load_choice import LoadParams
from epp_plugins.scorers.prefix_cache import PrefixCacheScorer
from epp_plugins.scorers.queue import QueueScorer


@pytest.mark.parametrize(
    ("waiting", "scores"),
    [
        pytest.param([0, 5, 10], [1.0, 0.5, 0.0], id="relative to the others"),
        pytest.param([3, 3], [1.0, 1.0], id="all equal"),
        pytest.param([7], [1.0], id="one candidate"),
        pytest.param([2, None, 4], [1.0, 0.5, 0.0], id="unknown is neither the best nor the worst"),
        pytest.param([2, None], [1.0, 1.0], id="unknown beside one"),
        pytest.param([None, None], [0.0, 0.0], id="none known"),
        pytest.param([0.5, 1.0, 2.5], [1.0, 0.75, 0.0], id="parts of requests"),
        pytest.param([0, 2.0, 4], [1.0, 0.5, 0.0], id="some of them"),
        pytest.param([0.5, None, 1.5], [1.0, 0.5, 0.0], id="beside one that is unknown"),
    ],
)
def test_queue_scorer_rates_short_queues_high(waiting: list[int | None], scores: list[float]) -> None:
    candidates = [make_endpoint(f"pod-{i}", waiting=one) for i, one in enumerate(waiting)]
    assert QueueScorer(LoadParams()).score(make_request(), candidates) == scores


def test_large_differences_are_divided_and_leave_no_table_behind() -> None:
    tables = load_choice._ratings.cache_info().currsize
    counts = [0, 1, load_choice.LONGEST_TABLE + 1]
    assert load_choice.rate_lowest_best(counts) == [1.0, load_choice.LONGEST_TABLE / counts[-1], 0.0]
    assert load_choice._ratings.cache_info().currsize == tables


@pytest.mark.parametrize("spread", [1, 3, load_choice.LONGEST_TABLE])
def test_ratings_that_are_looked_up_are_those_that_are_divided(spread: int) -> None:
    rated = load_choice.rate_lowest_best([7 + n for n in range(spread + 1)])
    assert rated == [(spread - n) / spread for n in range(spread + 1)]
    assert load_choice._ratings.cache_info().currsize


def test_kv_cache_scorer_rates_free_cache() -> None:
    candidates = [make_endpoint(kv_cache_ratio=ratio) for ratio in (0.0, 0.5, 1.0, None)]
    assert KvCacheUtilizationScorer(LoadParams()).score(make_request(), candidates) == [1.0, 0.5, 0.0, 0.5]


def test_prefix_scorer_rates_the_matched_share() -> None:
    whole, half, none = make_endpoint("whole"), make_endpoint("half"), make_endpoint("none")
    request = make_request()
    request.attach(PrefixMatches(matched_tokens={whole: 8, half: 4}, total_tokens=8))
    assert PrefixCacheScorer(prefix_cache.Params()).score(request, [whole, half, none]) == [1.0, 0.5, 0.0]


def test_prefix_scorer_rates_a_prompt_shorter_than_a_block_0() -> None:
    request = make_request()
    request.attach(PrefixMatches(matched_tokens={}, total_tokens=0))
    assert PrefixCacheScorer(prefix_cache.Params()).score(request, [make_endpoint()]) == [0.0]


def test_prefix_scorer_without_a_known_prompt_rates_0() -> None:
    assert PrefixCacheScorer(prefix_cache.Params()).score(make_request(), [make_endpoint(), make_endpoint()]) == [
        0.0,
        0.0,
    ]


def test_load_is_rated_as_it_is_now_unless_the_page_is_asked_for() -> None:
    """A burst since the last page does not go to the endpoint that was the emptiest then."""
    busy, idle = make_endpoint("busy", waiting=5), make_endpoint("idle", waiting=0)
    idle.load = Load(waiting=9, running=0, kv_cache_ratio=1.0)
    assert QueueScorer(LoadParams()).score(make_request(), [busy, idle]) == [1.0, 0.0]
    assert QueueScorer(LoadParams(raw=True)).score(make_request(), [busy, idle]) == [0.0, 1.0]
    assert KvCacheUtilizationScorer(LoadParams()).score(make_request(), [busy, idle]) == [1.0, 0.0]
    assert KvCacheUtilizationScorer(LoadParams(raw=True)).score(make_request(), [busy, idle]) == [1.0, 1.0]


def rated(matched: list[int], *, total: int = 100, loads: list[int] | None = None, **params: float) -> list[float]:
    """Rate endpoints with so many matched tokens and so many running requests."""
    loads = loads or [0] * len(matched)
    pool = [make_endpoint(f"pod-{i}", running=load) for i, load in enumerate(loads)]
    request = make_request()
    tokens = dict(zip(pool, matched, strict=True))
    request.attach(PrefixMatches(matched_tokens=tokens, total_tokens=total, first_block=7))
    return PrefixCacheScorer(prefix_cache.Params(**params)).score(request, pool)  # type: ignore[arg-type]


def test_length_of_a_match_can_count_beside_its_share() -> None:
    scores = rated([4096, 8192, 0], total=16_384, match_length_weight=0.5)
    assert scores == pytest.approx([0.5 * 0.25 + 0.5 * 0.25, 0.5 * 1 + 0.5 * 0.5, 0])


def test_what_nearly_all_have_does_not_decide() -> None:
    assert rated([50, 50, 50, 50, 50, 50, 0, 0]) == [0.5] * 8
    assert rated([50, 50, 50, 50, 50, 90, 0, 0]) == [0.5] * 5 + [0.9, 0.5, 0.5]


def test_what_half_of_them_have_decides() -> None:
    assert rated([50, 50, 0, 0]) == [0.5, 0.5, 0.0, 0.0]


def test_matches_of_an_endpoint_with_more_than_its_share_count_less() -> None:
    scores = rated([100, 100, 0, 0], loads=[90, 20, 20, 20])
    assert 0 < scores[0] < 0.5
    assert scores[1] == 1.0
    assert rated([100, 0, 0, 0], loads=[1000, 0, 0, 0])[0] == 0


def test_first_requests_of_an_idle_pool_are_no_load() -> None:
    assert rated([100, 0, 0, 0], loads=[4, 0, 0, 0])[0] == 1.0


def test_prompt_that_nobody_has_goes_where_every_picker_would_send_it() -> None:
    first, second = rated([0, 0, 0, 0]), rated([0, 0, 0, 0])
    assert first == second
    assert len(set(first)) == 4
    assert max(first) <= prefix_cache.COLD_SCORE
