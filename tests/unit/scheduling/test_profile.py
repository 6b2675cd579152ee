"""Filters, scorers and picker together, with the default weights 2/2/3."""

from collections.abc import Sequence

import pytest

from epp.plugin import DropReason, Endpoint, Filter, InferenceRequest, PrefixMatches, Rejection
from epp.plugin.testing import make_endpoint, make_request
from epp.scheduling import NamedFilter, Profile, WeightedScorer
from tests.fakes.picker import assembly_of
from tests.fakes.scheduling import IN_PLAY


def named(one: Filter) -> NamedFilter:
    return NamedFilter(type(one).__name__, one)


class KeepsNone:
    def filter(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Sequence[Endpoint]:
        return []


class KeepsFirst:
    def filter(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Sequence[Endpoint]:
        return candidates[:1]


class PicksLast:
    def pick(
        self, request: InferenceRequest, candidates: Sequence[Endpoint], totals: Sequence[float]
    ) -> Sequence[Endpoint]:
        return candidates[-1:]


class RatesHalf:
    def score(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Sequence[float]:
        return [0.5] * len(candidates)


def test_short_queue_free_cache_and_known_prefix_win_by_2_2_3() -> None:
    """The worked example: pod 1 has 3 queued and 60 % of its cache in use, pod 2 has 1, 40 %, and the prefix."""
    pod_1 = make_endpoint("pod-1", waiting=3, kv_cache_ratio=0.6)
    pod_2 = make_endpoint("pod-2", waiting=1, kv_cache_ratio=0.4)
    request = make_request()
    request.attach(PrefixMatches(matched_tokens={pod_2: 10}, total_tokens=10))
    assembly, _ = assembly_of()

    decision = assembly.scheduler.schedule(request, [pod_1, pod_2])

    assert decision.primary is pod_2
    assert decision.results["default"].table() == [
        {
            "endpoint": "default/pod-2",
            "queue-scorer": 1.0,
            "kv-cache-utilization-scorer": 0.6,
            "prefix-cache-scorer": 1.0,
            "total": pytest.approx(2 * 1.0 + 2 * 0.6 + 3 * 1.0),
        },
        {
            "endpoint": "default/pod-1",
            "queue-scorer": 0.0,
            "kv-cache-utilization-scorer": 0.4,
            "prefix-cache-scorer": 0.0,
            "total": pytest.approx(2 * 0.4),
        },
    ]


def test_long_queue_outweighs_half_a_prefix() -> None:
    busy = make_endpoint("busy", waiting=9)
    idle = make_endpoint("idle", waiting=0)
    request = make_request()
    request.attach(PrefixMatches(matched_tokens={busy: 5}, total_tokens=10))
    assembly, _ = assembly_of()
    assert assembly.scheduler.schedule(request, [busy, idle]).primary is idle


def test_whole_prefix_outweighs_a_longer_queue() -> None:
    busy = make_endpoint("busy", waiting=9)
    idle = make_endpoint("idle", waiting=0)
    request = make_request()
    request.attach(PrefixMatches(matched_tokens={busy: 10}, total_tokens=10))
    assembly, _ = assembly_of()
    assert assembly.scheduler.schedule(request, [busy, idle]).primary is busy


def test_totals_are_weighted_sums_in_candidate_order() -> None:
    profile = Profile(
        "p", [], [WeightedScorer("a", RatesHalf(), 2.0), WeightedScorer("b", RatesHalf(), 4.0)], PicksLast(), IN_PLAY
    )
    result = profile.run(make_request(), [make_endpoint("x"), make_endpoint("y")])
    assert result.totals == [3.0, 3.0]


def test_filters_run_in_order_before_the_scorers() -> None:
    first, second = make_endpoint("first"), make_endpoint("second")
    profile = Profile("p", [named(KeepsFirst())], [WeightedScorer("a", RatesHalf(), 1.0)], PicksLast(), IN_PLAY)
    result = profile.run(make_request(), [first, second])
    assert result.candidates == [first]
    assert result.picked == (first,)


def test_filters_that_leave_nothing_reject_with_429() -> None:
    profile = Profile(
        "strict",
        [named(KeepsNone()), named(KeepsFirst())],
        [],
        PicksLast(),
        IN_PLAY,
    )
    with pytest.raises(Rejection, match="profile `strict`: no endpoint passed the filter `KeepsNone`") as caught:
        profile.run(make_request(), [make_endpoint()])
    assert caught.value.reason is DropReason.SATURATED
    assert caught.value.refusal.status == 429
