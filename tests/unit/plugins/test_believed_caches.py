"""What is believed of engines' caches follows what they report."""

import dataclasses

import pytest
from msgspec.structs import replace

from epp.plugin import Endpoint, Load
from epp.plugin.testing import make_context, make_endpoint
from epp_plugins.prefix.believed import BelievedCaches, Chains, Defaults
from epp_plugins.prefix.truth import GROWTH, LEAST_REQUESTS, LEAST_SCALE, SMALLEST_STEP, WINDOW_TOKENS, CacheTruth, Hits

A, B = make_endpoint("a"), make_endpoint("b", port=1)
DEFAULTS = Defaults(block_tokens=64, capacity_blocks=1000, is_auto_tuned=True, max_bytes=1 << 30)
PAGE = Load(block_size_tokens=64, block_count=1000, started_at_s=5.0, prefix_queried_tokens=0, prefix_hit_tokens=0)


def caches(*, auto_tuned: bool = True) -> BelievedCaches:
    one = BelievedCaches(dataclasses.replace(DEFAULTS, is_auto_tuned=auto_tuned), make_context().log)
    one.scraped(A, PAGE)
    return one


def chains_of(block_tokens: int) -> Chains:
    """Chains of a prompt of 1,280 tokens."""
    return [[block_tokens * 1000 + i for i in range(1280 // block_tokens)]]


def matched(one: BelievedCaches) -> dict[Endpoint, int]:
    return one.match(chains_of)


def test_what_was_sent_matches_in_tokens() -> None:
    one = caches()
    one.insert(A, chains_of)
    assert matched(one) == {A: 1280}


@pytest.mark.parametrize(
    ("engine_tokens", "engine_blocks", "block_tokens", "blocks"),
    [
        pytest.param(128, 500, 128, 500, id="large blocks as they are"),
        pytest.param(16, 4000, 32, 2000, id="small ones together, and no more of them than fit"),
        pytest.param(1, 640, 32, 20, id="single tokens"),
        pytest.param(24, 100, 48, 50, id="whole numbers of the engine's"),
    ],
)
def test_block_size_and_capacity_are_the_engines(
    engine_tokens: int, engine_blocks: int, block_tokens: int, blocks: int
) -> None:
    one = caches()
    one.scraped(A, replace(PAGE, block_size_tokens=engine_tokens, block_count=engine_blocks))
    assert (one.of(A).block_tokens, one.of(A).capacity_blocks) == (block_tokens, blocks)


def test_endpoints_with_different_block_sizes_are_matched_each_by_its_own() -> None:
    one = caches()
    one.scraped(B, replace(PAGE, block_size_tokens=256))
    one.insert(A, chains_of)
    one.insert(B, chains_of)
    assert matched(one) == {A: 1280, B: 1280}


def test_capacity_of_the_engine_bounds_what_is_believed() -> None:
    one = caches()
    one.scraped(A, replace(PAGE, block_count=5))
    one.insert(A, chains_of)
    assert matched(one) == {A: 5 * 64}


def test_engine_is_not_asked_where_that_is_switched_off() -> None:
    one = caches(auto_tuned=False)
    one.scraped(A, replace(PAGE, block_size_tokens=128, block_count=5))
    assert (one.of(A).block_tokens, one.of(A).capacity_blocks) == (64, 1000)
    assert one.of(A).warned_of == "block size differs"


def test_endpoint_that_keeps_no_prefixes_is_believed_to_have_none() -> None:
    one = caches()
    one.insert(A, chains_of)
    one.scraped(A, replace(PAGE, prefix_caching=False))
    one.insert(A, chains_of)
    assert matched(one) == {}
    assert one.of(A).warned_of == "prefix caching is off"


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(replace(PAGE, started_at_s=50.0), id="another start"),
        pytest.param(replace(PAGE, started_at_s=None, prefix_queried_tokens=9), id="counters that went back"),
    ],
)
def test_endpoint_that_was_restarted_has_nothing(page: Load) -> None:
    one = caches()
    one.scraped(A, replace(page, started_at_s=5.0 if page.started_at_s else None, prefix_queried_tokens=100))
    one.of(A).truth.begin_again(replace(PAGE, prefix_queried_tokens=100))
    one.insert(A, chains_of)
    one.insert(B, chains_of)
    one.scraped(A, page)
    assert matched(one) == {B: 1280}
    one.insert(A, chains_of)
    one.scraped(A, page)
    assert matched(one) == {A: 1280, B: 1280}


def test_refusal_withdraws_and_an_answer_confirms() -> None:
    one = caches()
    claims = one.insert(A, chains_of)
    one.withdraw(A, claims)
    assert matched(one) == {}
    one.confirm(A, one.insert(A, chains_of))
    one.withdraw(A, one.insert(A, chains_of))
    assert matched(one) == {A: 1280}


def test_cache_with_few_hits_is_believed_to_be_smaller_and_grows_again() -> None:
    one = caches()
    one.insert(A, chains_of)
    one.of(A).truth.recent.add(Hits(predicted=20, observed=10, prompt=20))
    for _ in range(7):
        one.rescale(A, 0.5)
    assert matched(one) == {A: 640}
    assert one.of(A).scale == LEAST_SCALE
    one.rescale(A, GROWTH)
    assert one.of(A).scale == pytest.approx(LEAST_SCALE * GROWTH)


def test_cache_without_any_hits_is_believed_to_be_off_and_has_nothing() -> None:
    one = caches()
    one.insert(A, chains_of)
    one.of(A).truth.recent.add(Hits(predicted=20, prompt=20))
    one.rescale(A, SMALLEST_STEP)
    assert matched(one) == {}
    assert one.of(A).warned_of == "prefix caching seems to be off"


def test_endpoint_whose_process_is_gone_has_nothing() -> None:
    one = caches()
    one.insert(A, chains_of)
    one.insert(B, chains_of)
    one.lost(A)
    assert matched(one) == {B: 1280}
    one.lost(make_endpoint("stranger"))


def test_forgotten_endpoint_has_nothing() -> None:
    one = caches()
    one.insert(A, chains_of)
    one.forget(A)
    assert matched(one) == {}
    assert A not in one.endpoints


def truth_after(*, observed_share: float, queried: int = 2 * WINDOW_TOKENS) -> tuple[CacheTruth, float]:
    """Predict half of the prompt tokens; the engine finds a share of that."""
    truth = CacheTruth()
    truth.counted(PAGE)
    for _ in range(LEAST_REQUESTS):
        truth.sent(matched=WINDOW_TOKENS / LEAST_REQUESTS, prompt=2 * WINDOW_TOKENS / LEAST_REQUESTS)
    hit = round(observed_share * queried / 2)
    return truth, truth.counted(replace(PAGE, prefix_queried_tokens=queried, prefix_hit_tokens=hit))


@pytest.mark.parametrize(
    ("observed_share", "factor", "error"),
    [
        pytest.param(1.0, GROWTH, 0.0, id="all were there"),
        pytest.param(0.8, 1.0, 0.1, id="nearly all"),
        pytest.param(0.4, SMALLEST_STEP, 0.3, id="some"),
        pytest.param(0.0, SMALLEST_STEP, 0.5, id="none"),
    ],
)
def test_engines_counters_are_compared_with_what_was_predicted(
    observed_share: float, factor: float, error: float
) -> None:
    truth, found = truth_after(observed_share=observed_share)
    assert found == pytest.approx(factor, abs=1e-3)
    assert truth.recent.error_ratio == pytest.approx(error, abs=1e-3)


def test_share_that_an_engine_always_finds_is_learned() -> None:
    truth = CacheTruth()
    share = WINDOW_TOKENS / LEAST_REQUESTS
    factors = [
        truth.answered(matched=2 * share, observed=1.6 * share, prompt=2 * share) for _ in range(20 * LEAST_REQUESTS)
    ]
    assert truth.yield_ratio == pytest.approx(0.8, abs=1e-3)
    assert min(factors) == 1.0
    assert truth.recent.error_ratio == pytest.approx(0.0, abs=1e-3)


def test_traffic_of_others_makes_it_no_comparison() -> None:
    truth, factor = truth_after(observed_share=0.0, queried=4 * WINDOW_TOKENS)
    assert factor == 1.0
    assert truth.recent.prompt == 0


def test_few_predictions_are_not_compared_yet() -> None:
    truth = CacheTruth()
    truth.counted(PAGE)
    truth.sent(matched=10, prompt=100)
    assert truth.counted(replace(PAGE, prefix_queried_tokens=100)) == 1.0
    assert truth.recent.prompt == 0


def test_answers_count_alone_where_there_are_any() -> None:
    truth = CacheTruth()
    truth.counted(PAGE)
    truth.sent(matched=WINDOW_TOKENS, prompt=WINDOW_TOKENS)
    share = WINDOW_TOKENS / LEAST_REQUESTS
    factors = [truth.answered(matched=share, observed=share / 4, prompt=share) for _ in range(LEAST_REQUESTS)]
    assert factors[-1] == SMALLEST_STEP
    assert truth.counted(replace(PAGE, prefix_queried_tokens=9, prefix_hit_tokens=9)) == 1.0


def test_one_long_prompt_that_comes_twice_at_once_proves_nothing() -> None:
    truth = CacheTruth()
    assert truth.answered(matched=2 * WINDOW_TOKENS, observed=0, prompt=2 * WINDOW_TOKENS) == 1.0


def test_hits_that_were_not_predicted_let_a_cache_grow_again() -> None:
    truth = CacheTruth()
    share = WINDOW_TOKENS / LEAST_REQUESTS
    factors = [truth.answered(matched=0, observed=share, prompt=share) for _ in range(LEAST_REQUESTS)]
    assert factors[-1] == GROWTH


def test_requests_that_were_refused_are_not_compared() -> None:
    truth = CacheTruth()
    truth.counted(PAGE)
    for _ in range(LEAST_REQUESTS):
        truth.sent(matched=WINDOW_TOKENS, prompt=WINDOW_TOKENS)
        truth.refused(matched=WINDOW_TOKENS, prompt=WINDOW_TOKENS)
    assert truth.counted(replace(PAGE, prefix_queried_tokens=10)) == 1.0
    assert truth.recent.prompt == 0


def test_block_size_that_nobody_has_any_more_costs_nothing() -> None:
    one = caches()
    one.insert(A, chains_of)
    one.scraped(A, replace(PAGE, block_size_tokens=128))
    one.insert(A, chains_of)
    assert list(one._indexes) == [128]
