"""Scorers that say of themselves that they rate from 0 to 1, whatever they are given."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.plugin import Endpoint, Load, PrefixMatches, Scorer
from epp.plugin.testing import make_endpoint, make_request
from epp.registry import Registry
from tests.fakes.catalogue import BUILT_IN, assembled, plugin

PARAMETERS: dict[str, list[dict[str, Any]]] = {
    "queue-scorer": [{}, {"raw": True}],
    "running-requests-size-scorer": [{}, {"raw": True}],
    "kv-cache-utilization-scorer": [{}, {"raw": True}],
    "prefix-cache-scorer": [{}, {"matchLengthWeight": 0.3, "matchLengthScaleTokens": 7}, {"matchLengthWeight": 1.0}],
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
    matched = {one: draw(st.integers(min_value=0, max_value=total)) for one in pool if draw(st.booleans())}
    first_block = draw(st.none() | st.integers(min_value=0, max_value=2**64 - 1))
    return pool, PrefixMatches(matched_tokens=matched, total_tokens=total, first_block=first_block)


def test_each_of_them_is_tried() -> None:
    registry = Registry.installed()
    assert {one for one in BUILT_IN if getattr(registry.load(one), "is_bounded", False)} == set(PARAMETERS)


@pytest.mark.parametrize(
    ("kind", "parameters"), [(kind, parameters) for kind, several in PARAMETERS.items() for parameters in several]
)
@given(drawn=pools())
def test_bounded_scorer_stays_from_0_to_1(
    kind: str, parameters: dict[str, Any], drawn: tuple[list[Endpoint], PrefixMatches]
) -> None:
    pool, matches = drawn
    request = make_request()
    request.attach(matches)
    rated = scorer(kind, parameters).score(request, pool)
    assert len(rated) == len(pool)
    assert all(0 <= score <= 1 for score in rated)


def scorer(kind: str, parameters: dict[str, Any]) -> Scorer:
    """Return it without its guard, which would clamp."""
    one: Scorer = assembled(plugin(kind, **parameters)).built[kind].plugin
    return one


@pytest.mark.parametrize("tokens", [-1, 9])
def test_matches_are_no_more_than_the_prompt(tokens: int) -> None:
    with pytest.raises(ValueError, match=f"matched {tokens} to {tokens} tokens of 8"):
        PrefixMatches(matched_tokens={make_endpoint(): tokens}, total_tokens=8)
