"""The producer remembers what was sent where, until the endpoint goes."""

from typing import Any

import pytest

from epp.plugin import Decision, Endpoint, PrefixMatches, Response, Usage
from epp.plugin.testing import make_context, make_endpoint, make_request
from epp_plugins.prefix.truth import WINDOW_TOKENS
from epp_plugins.producers.approx_prefix_cache import ApproxPrefixCacheProducer, Params

A, B = make_endpoint("a"), make_endpoint("b", port=9000)
PROMPT = b"0123456789abcdef" * 40


def producer(**params: Any) -> ApproxPrefixCacheProducer:
    return ApproxPrefixCacheProducer(Params(**{"block_size_tokens": 16} | params), make_context())


def matches(one: ApproxPrefixCacheProducer, *prompts: bytes, model: str = "tiny") -> PrefixMatches | None:
    request = make_request(prompts=prompts, model=model)
    one.produce(request, [A, B])
    return request.attribute(PrefixMatches)


def send(one: ApproxPrefixCacheProducer, endpoint: Endpoint, *prompts: bytes) -> None:
    request = make_request(prompts=prompts)
    one.produce(request, [A, B])
    one.on_routed(request, Decision(endpoints=[endpoint]))


def test_prompt_that_was_sent_matches_whole() -> None:
    one = producer()
    send(one, A, PROMPT)
    found = matches(one, PROMPT)
    assert found is not None
    assert (found.ratio(A), found.ratio(B)) == (1.0, 0.0)
    assert found.total_tokens == len(PROMPT) // 4


def test_longer_prompt_with_the_same_beginning_matches_in_part() -> None:
    one = producer()
    send(one, A, PROMPT)
    found = matches(one, PROMPT + b"and then something else, which is new " * 10)
    assert found is not None
    assert found.matched_tokens == {A: 160}


def test_other_model_matches_nothing() -> None:
    one = producer()
    send(one, A, PROMPT)
    found = matches(one, PROMPT, model="other")
    assert found is not None
    assert found.matched_tokens == {}


def test_several_prompts_are_matched_each_on_its_own() -> None:
    one = producer()
    send(one, A, PROMPT)
    found = matches(one, PROMPT, b"Z" * len(PROMPT))
    assert found is not None
    assert found.ratio(A) == pytest.approx(0.5)


def test_bound_on_tokens_holds_for_all_prompts_together() -> None:
    one = producer(max_prefix_tokens_to_match=15 * 16)
    send(one, A, PROMPT, b"Z" * len(PROMPT))
    found = matches(one, PROMPT, b"Z" * len(PROMPT))
    assert found is not None
    assert found.matched_tokens == {A: 15 * 16}


def test_removed_endpoint_is_forgotten() -> None:
    one = producer()
    send(one, A, PROMPT)
    one.on_endpoint_removed(A)
    found = matches(one, PROMPT)
    assert found is not None
    assert found.matched_tokens == {}


def test_capacity_bounds_what_an_endpoint_is_believed_to_keep() -> None:
    one = producer(lru_capacity_per_server=3)
    send(one, A, PROMPT)
    found = matches(one, PROMPT)
    assert found is not None
    assert found.matched_tokens == {A: 48}


def test_request_without_a_prompt_gets_no_attribute() -> None:
    assert matches(producer()) is None


def test_size_of_the_index_is_exported() -> None:
    context = make_context("mine")
    one = ApproxPrefixCacheProducer(Params(block_size_tokens=16), context)
    send(one, A, PROMPT)
    assert context.metrics.registry.get_sample_value("epp_prefix_index_entries", {"plugin": "mine"}) == 10.0


def answered(one: ApproxPrefixCacheProducer, status: int, *, served_by: str | None = None) -> None:
    """Route a request to A with B as the fallback, and answer it."""
    request = make_request(prompts=[PROMPT])
    one.produce(request, [A, B])
    decision = Decision(endpoints=[A, B])
    one.on_routed(request, decision)
    one.on_response_head(request, decision, Response(status=status, served_by=served_by))


@pytest.mark.parametrize(
    ("status", "served_by", "tokens"),
    [
        pytest.param(200, None, {A: 160}, id="answered"),
        pytest.param(200, "10.0.0.1:8000", {A: 160}, id="answered by the primary"),
        pytest.param(200, "10.0.0.1:9000", {B: 160}, id="answered by the fallback"),
        pytest.param(503, None, {}, id="failed"),
        pytest.param(429, None, {}, id="refused"),
    ],
)
def test_what_is_believed_follows_the_answer(status: int, served_by: str | None, tokens: dict[Endpoint, int]) -> None:
    one = producer()
    answered(one, status, served_by=served_by)
    found = matches(one, PROMPT)
    assert found is not None
    assert found.matched_tokens == tokens


def test_cached_tokens_of_answers_are_compared_with_what_was_predicted() -> None:
    one = producer()
    send(one, A, PROMPT)
    for _ in range(WINDOW_TOKENS // 160 + 1):
        request = make_request(prompts=[PROMPT])
        one.produce(request, [A])
        decision = Decision(endpoints=[A])
        one.on_routed(request, decision)
        one.on_done(request, decision, Response(usage=Usage(prompt_tokens=160, cached_tokens=0)))
    found = matches(one, PROMPT)
    assert found is not None
    assert found.ratio(A) == 0.0


def test_bound_in_blocks_holds_where_there_is_none_in_tokens() -> None:
    one = producer(max_prefix_tokens_to_match=0, max_prefix_blocks_to_match=4)
    send(one, A, PROMPT)
    found = matches(one, PROMPT)
    assert found is not None
    assert found.matched_tokens == {A: 4 * 16}
