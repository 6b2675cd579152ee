"""Scorers that say of themselves that they rate from 0 to 1, whatever they are given."""

import inspect
import math
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.plugin import Endpoint, Load, PrefixMatches, Scorer
from epp.plugin.testing import make_endpoint, make_request
from epp.registry import Registry
from tests.fakes.catalogue import BUILT_IN

RAW = st.fixed_dictionaries({"raw": st.booleans()})
LENGTHS = st.fixed_dictionaries(
    {
        "matchLengthWeight": st.sampled_from([n / 100 for n in range(101)]) | st.floats(min_value=0, max_value=1),
        "matchLengthScaleTokens": st.integers(min_value=1, max_value=9) | st.integers(min_value=1, max_value=10**9),
    }
)
PARAMETERS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "queue-scorer": RAW,
    "running-requests-size-scorer": RAW,
    "kv-cache-utilization-scorer": RAW,
    "prefix-cache-scorer": LENGTHS,
}
COUNTS = st.none() | st.integers(min_value=0, max_value=10**12)
LOADS = st.builds(Load, waiting=COUNTS, running=COUNTS, kv_cache_ratio=st.none() | st.floats(min_value=0, max_value=1))


@st.composite
def pools(draw: st.DrawFn) -> tuple[list[Endpoint], PrefixMatches]:
    """Return endpoints with any load, and what any of them have of a prompt of any length."""
    pool = [make_endpoint(f"pod-{i}") for i in range(draw(st.integers(min_value=1, max_value=8)))]
    for one in pool:
        one.load, one.scraped = draw(LOADS), draw(LOADS)
    total = draw(st.integers(min_value=0, max_value=10**9))
    tokens = st.just(total) | st.integers(min_value=0, max_value=total)
    matched = {one: draw(tokens) for one in pool if draw(st.booleans())}
    first_block = draw(st.none() | st.integers(min_value=0, max_value=2**64 - 1))
    return pool, PrefixMatches(matched_tokens=matched, total_tokens=total, first_block=first_block)


def test_each_of_them_is_tried() -> None:
    registry = Registry.installed()
    assert {one for one in BUILT_IN if getattr(registry.load(one), "is_bounded", False)} == set(PARAMETERS)


@pytest.mark.parametrize("kind", PARAMETERS)
@given(drawn=pools(), data=st.data())
def test_bounded_scorer_stays_from_0_to_1(
    kind: str, drawn: tuple[list[Endpoint], PrefixMatches], data: st.DataObject
) -> None:
    pool, matches = drawn
    request = make_request()
    request.attach(matches)
    rated = scorer(kind, data.draw(PARAMETERS[kind])).score(request, pool)
    assert len(rated) == len(pool)
    assert all(0 <= score <= 1 for score in rated)


def scorer(kind: str, parameters: dict[str, Any]) -> Scorer:
    """Return it without its guard, which would clamp."""
    loaded = Registry.installed().load(kind)
    params = inspect.signature(loaded, eval_str=True).parameters["params"].annotation
    one: Scorer = loaded(params=msgspec.convert(parameters, params))
    return one


def test_whole_match_of_a_short_prompt_is_no_more_than_1() -> None:
    """0.1 + 0.9 is 1.0000000000000002 in thirteenths."""
    one = make_endpoint()
    request = make_request()
    request.attach(PrefixMatches(matched_tokens={one: 13}, total_tokens=13))
    parameters = {"matchLengthWeight": 0.1, "matchLengthScaleTokens": 7}
    assert scorer("prefix-cache-scorer", parameters).score(request, [one]) == [1.0]


@pytest.mark.parametrize("tokens", [-1, 9])
def test_matches_are_no_more_than_the_prompt(tokens: int) -> None:
    with pytest.raises(ValueError, match=f"matched {tokens} to {tokens} tokens of 8"):
        PrefixMatches(matched_tokens={make_endpoint(): tokens}, total_tokens=8)


@pytest.mark.parametrize(
    ("matched", "total"),
    [
        pytest.param([], -3, id="fewer than none"),
        pytest.param([], math.nan, id="unknown prompt"),
        pytest.param([2], 8.0, id="prompt in parts of tokens"),
        pytest.param([2.0], 8, id="parts of tokens"),
        pytest.param([3, math.nan], 8, id="no number at the end"),
        pytest.param([math.nan, 3], 8, id="no number at the beginning"),
        pytest.param([Decimal(3)], 8, id="decimals"),
    ],
)
def test_matches_are_whole_numbers_of_tokens(matched: list[Any], total: Any) -> None:
    with pytest.raises(ValueError, match="tokens"):
        PrefixMatches(
            matched_tokens={make_endpoint(f"pod-{i}"): one for i, one in enumerate(matched)}, total_tokens=total
        )
