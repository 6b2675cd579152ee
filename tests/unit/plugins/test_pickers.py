"""Which candidate is chosen."""

from collections import Counter

from epp.plugin.testing import make_context, make_endpoint, make_request
from epp_plugins.pickers.max_score import MaxScorePicker
from epp_plugins.pickers.random import RandomPicker

CANDIDATES = [make_endpoint(f"pod-{i}") for i in range(4)]


def test_highest_total_wins() -> None:
    picker = MaxScorePicker(make_context())
    assert picker.pick(make_request(), CANDIDATES, [0.1, 0.9, 0.5, 0.2]) == [CANDIDATES[1]]


def test_ties_are_broken_at_random_among_the_best_only() -> None:
    picker = MaxScorePicker(make_context())
    picks = Counter(picker.pick(make_request(), CANDIDATES, [1.0, 0.0, 1.0, 1.0])[0].name for _ in range(600))
    assert set(picks) == {"pod-0", "pod-2", "pod-3"}
    assert min(picks.values()) > 120


def test_random_picker_ignores_totals() -> None:
    picker = RandomPicker(make_context())
    picks = Counter(picker.pick(make_request(), CANDIDATES, [9.0, 0.0, 0.0, 0.0])[0].name for _ in range(800))
    assert set(picks) == {endpoint.name for endpoint in CANDIDATES}
    assert min(picks.values()) > 120
