"""Which candidate is chosen."""

from collections import Counter

import pytest

from epp.plugin.testing import make_context, make_endpoint, make_request
from epp_plugins.pickers.choice import PickerParams
from epp_plugins.pickers.max_score import MaxScorePicker
from epp_plugins.pickers.power_of_two import PowerOfTwoPicker
from epp_plugins.pickers.random import RandomPicker
from epp_plugins.pickers.weighted_random import WeightedRandomPicker

CANDIDATES = [make_endpoint(f"pod-{i}") for i in range(4)]


def test_highest_total_wins() -> None:
    picker = MaxScorePicker(PickerParams(), make_context())
    assert picker.pick(make_request(), CANDIDATES, [0.1, 0.9, 0.5, 0.2]) == [CANDIDATES[1]]


def test_ties_are_broken_at_random_among_the_best_only() -> None:
    picker = MaxScorePicker(PickerParams(), make_context())
    picks = Counter(picker.pick(make_request(), CANDIDATES, [1.0, 0.0, 1.0, 1.0])[0].name for _ in range(600))
    assert set(picks) == {"pod-0", "pod-2", "pod-3"}
    assert min(picks.values()) > 120


def test_random_picker_ignores_totals() -> None:
    picker = RandomPicker(PickerParams(), make_context())
    picks = Counter(picker.pick(make_request(), CANDIDATES, [9.0, 0.0, 0.0, 0.0])[0].name for _ in range(800))
    assert set(picks) == {endpoint.name for endpoint in CANDIDATES}
    assert min(picks.values()) > 120


def test_several_are_picked_the_highest_first() -> None:
    picker = MaxScorePicker(PickerParams(max_num_of_endpoints=3), make_context())
    assert picker.pick(make_request(), CANDIDATES, [0.1, 0.9, 0.5, 0.2]) == [CANDIDATES[i] for i in (1, 2, 3)]
    for wanted, count in ((9, 4), (0, 1), (-1, 1)):
        picker = MaxScorePicker(PickerParams(max_num_of_endpoints=wanted), make_context())
        assert len(picker.pick(make_request(), CANDIDATES, [1.0] * 4)) == count
    several = RandomPicker(PickerParams(max_num_of_endpoints=3), make_context())
    assert len(set(several.pick(make_request(), CANDIDATES, [1.0] * 4))) == 3


def test_weighted_random_picks_in_proportion_to_totals() -> None:
    picker = WeightedRandomPicker(PickerParams(), make_context())
    picks = Counter(picker.pick(make_request(), CANDIDATES, [3.0, 1.0, 0.0, 0.0])[0].name for _ in range(4000))
    assert set(picks) == {"pod-0", "pod-1"}
    assert picks["pod-0"] / 4000 == pytest.approx(0.75, abs=0.03)


def test_weighted_random_picks_any_where_all_totals_are_zero_and_those_last() -> None:
    one = WeightedRandomPicker(PickerParams(), make_context())
    assert len({one.pick(make_request(), CANDIDATES, [0.0] * 4)[0] for _ in range(100)}) == 4
    all_ = WeightedRandomPicker(PickerParams(max_num_of_endpoints=4), make_context())
    assert all_.pick(make_request(), CANDIDATES, [0.0, 0.0, 0.5, 0.0])[0] is CANDIDATES[2]


def test_power_of_two_never_picks_the_worst_and_not_always_the_best() -> None:
    picker = PowerOfTwoPicker(make_context())
    picks = Counter(picker.pick(make_request(), CANDIDATES, [0.0, 1.0, 2.0, 3.0])[0].name for _ in range(1200))
    assert "pod-0" not in picks
    # Of the six pairs the best is in three, the second best is the better one in two, the third in one.
    assert picks["pod-3"] / 1200 == pytest.approx(1 / 2, abs=0.05)
    assert picks["pod-2"] / 1200 == pytest.approx(1 / 3, abs=0.05)
    assert picker.pick(make_request(), CANDIDATES[:1], [0.0]) == CANDIDATES[:1]
