"""New endpoints get their share by and by."""

import random
from collections import Counter

import pytest

from epp.director.candidates import hold_back_warming
from epp.plugin import WARM_UP_S, Endpoint
from epp.plugin.testing import make_endpoint

DRAWS = 2000


def endpoint(name: str, *, warm_at_s: float = 0.0) -> Endpoint:
    one = make_endpoint(name)
    one.warm_at_s = warm_at_s
    return one


def shares(pool: list[Endpoint], *, now_s: float) -> dict[str, float]:
    """Return in which share of requests each endpoint is a candidate."""
    rng = random.Random(0)
    counts = Counter(one.name for _ in range(DRAWS) for one in hold_back_warming(pool, now_s, rng))
    return {one.name: counts[one.name] / DRAWS for one in pool}


@pytest.mark.parametrize(
    ("after_s", "share"),
    [
        pytest.param(0.0, 0.25, id="its fair share at first"),
        pytest.param(WARM_UP_S / 2, 0.5, id="more by and by"),
        pytest.param(WARM_UP_S, 1.0, id="always in the end"),
    ],
)
def test_share_of_a_new_endpoint_grows(after_s: float, share: float) -> None:
    pool = [endpoint("a"), endpoint("b"), endpoint("c"), endpoint("new", warm_at_s=WARM_UP_S)]
    found = shares(pool, now_s=after_s)
    assert found["new"] == pytest.approx(share, abs=0.03)
    assert found["a"] == 1.0


def test_several_new_endpoints_share_their_share() -> None:
    pool = [endpoint("old"), *(endpoint(f"new-{i}", warm_at_s=WARM_UP_S) for i in range(3))]
    held = [hold_back_warming(pool, 0.0, random.Random(seed)) for seed in range(DRAWS)]
    assert {len(one) for one in held} == {1, 4}
    assert sum(len(one) == 4 for one in held) / DRAWS == pytest.approx(0.75, abs=0.03)


def test_when_all_are_new_none_is_held_back() -> None:
    pool = [endpoint("a", warm_at_s=5.0), endpoint("b", warm_at_s=9.0)]
    assert hold_back_warming(pool, 0.0, random.Random(0)) == pool


def test_clock_that_jumped_back_does_not_keep_an_endpoint_out() -> None:
    pool = [endpoint("a"), endpoint("new", warm_at_s=1e6)]
    assert shares(pool, now_s=0.0)["new"] == pytest.approx(0.5, abs=0.05)
