"""New endpoints get their share by and by, those that fail are avoided, and something is always left."""

import random
from collections import Counter
from collections.abc import Sequence

import pytest

from epp.datalayer import Datastore
from epp.datalayer.ejection import FAILURES
from epp.plugin import Endpoint, Filter, InferenceRequest, Load, Reading
from epp.plugin.endpoint import WARM_UP_S, Settling
from epp.plugin.testing import make_context, make_endpoint, make_request
from epp.scheduling import InPlay, NamedFilter, Profile
from epp_plugins.pickers.choice import PickerParams
from epp_plugins.pickers.random import RandomPicker

DRAWS = 2000


def endpoint(name: str, *, warm_at_s: float = 0.0) -> Endpoint:
    one = make_endpoint(name)
    one.warm_at_s = warm_at_s
    return one


def in_play(pool: list[Endpoint], *, seed: int = 0, now_s: float = 0.0) -> list[Endpoint]:
    return list(InPlay(lambda: now_s, random.Random(seed)).of(pool))


def shares(pool: list[Endpoint], *, now_s: float) -> dict[str, float]:
    """Return in which share of requests each endpoint is a candidate."""
    rule = InPlay(lambda: now_s, random.Random(0))
    counts = Counter(one.name for _ in range(DRAWS) for one in rule.of(pool))
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
    held = [in_play(pool, seed=seed) for seed in range(DRAWS)]
    assert {len(one) for one in held} == {1, 4}
    assert sum(len(one) == 4 for one in held) / DRAWS == pytest.approx(0.75, abs=0.03)


def test_when_all_are_new_none_is_held_back() -> None:
    pool = [endpoint("a", warm_at_s=5.0), endpoint("b", warm_at_s=9.0)]
    assert in_play(pool) == pool


def test_clock_that_jumped_back_does_not_keep_an_endpoint_out() -> None:
    pool = [endpoint("a"), endpoint("new", warm_at_s=1e6)]
    assert shares(pool, now_s=0.0)["new"] == pytest.approx(0.5, abs=0.05)


def named(one: Filter) -> NamedFilter:
    return NamedFilter(type(one).__name__, one)


class KeepsNew:
    """A filter that wants the new endpoint."""

    def filter(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Sequence[Endpoint]:
        return [one for one in candidates if one.name == "new"]


def test_endpoint_that_is_all_that_filters_leave_is_in_play() -> None:
    pool = [endpoint("a"), endpoint("b"), avoided("new", 100.0)]
    for seed in range(20):
        rule = InPlay(lambda: 0.0, random.Random(seed))
        profile = Profile("p", [named(KeepsNew())], [], RandomPicker(PickerParams(), make_context()), rule)
        assert [one.name for one in profile.run(make_request(), pool).picked] == ["new"]


def avoided(name: str, until_s: float) -> Endpoint:
    one = endpoint(name, warm_at_s=until_s)
    one.avoided_until_s = until_s
    return one


def test_avoided_endpoint_is_not_in_play_until_its_time_is_over() -> None:
    good, bad = endpoint("good"), avoided("bad", 10.0)
    assert in_play([good, bad], now_s=9.9) == [good]
    assert in_play([good, bad], now_s=10.0) == [good, bad]


def test_ejected_endpoint_is_looked_at_while_the_pool_settles() -> None:
    """Until the last one is warm, and not for longer: a settled pool is not looked at one by one."""
    now_s, settling = [0.0], Settling(until_s=0.0)
    store = Datastore(clock=lambda: now_s[0], log=make_context().log, on_removed=lambda _one: None, settling=settling)
    store.replace([make_endpoint(name, port=port).spec for port, name in enumerate("ab", 1)])
    good, bad = store.endpoints()
    for one in (good, bad):
        store.scraped(one, Reading(load=Load()))
    rule = InPlay(lambda: now_s[0], random.Random(0), settling)
    now_s[0] = WARM_UP_S
    assert rule.of([good, bad]) == [good, bad]
    for _ in range(FAILURES):
        store.routed(bad, 0).started(500)
    assert rule.of([good, bad]) == [good]
    now_s[0] = settling.until_s
    bad.warm_at_s = now_s[0] + 1.0
    assert rule.of([good, bad]) == [good, bad], "not looked at"


def test_never_all_of_them_are_avoided() -> None:
    pool = [avoided("a", 10.0), avoided("b", 20.0)]
    assert in_play(pool) == pool
