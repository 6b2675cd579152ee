"""Why an endpoint was picked, and how little would have changed it."""

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from epp.plugin import Endpoint, ProfileResult, Removal, ScoreColumn
from epp.plugin.testing import make_endpoint
from epp.scheduling.explain import Flip, explanation, flip_of, margin_of

Columns = Mapping[str, tuple[float, Sequence[float]]]
A, B, C = (make_endpoint(name) for name in "abc")


def result(columns: Columns, *, candidates: Sequence[Endpoint] = (A, B), picked: Endpoint = A) -> ProfileResult:
    totals = [sum(weight * scores[i] for weight, scores in columns.values()) for i in range(len(candidates))]
    return ProfileResult(
        profile="p",
        candidates=candidates,
        columns=[ScoreColumn(scorer=name, weight=weight, scores=scores) for name, (weight, scores) in columns.items()],
        totals=totals,
        picked=[picked],
    )


def test_margin_is_to_the_best_of_the_others() -> None:
    assert margin_of(result({"x": (2.0, (1.0, 0.25))})) == pytest.approx(1.5)
    assert margin_of(result({"x": (2.0, (0.0, 0.5))})) == pytest.approx(-1.0)
    assert margin_of(result({"x": (2.0, (1.0,))}, candidates=[A])) is None


def with_weight(columns: Columns, flip: Flip, candidates: Sequence[Endpoint]) -> ProfileResult:
    return result({**columns, flip.scorer: (flip.becomes, columns[flip.scorer][1])}, candidates=candidates)


def leaders(one: ProfileResult) -> list[str]:
    return [one.candidates[i].key for i, total in enumerate(one.totals) if total == max(one.totals)]


def test_smallest_change_of_one_weight_is_found() -> None:
    # a: 2 x 1 + 3 x 0.5 = 3.5, b: 2 x 0.5 + 3 x 0.8 = 3.4. With x at 1.8, or y at 3.33, they are equal.
    flip = flip_of(result({"x": (2.0, (1.0, 0.5)), "y": (3.0, (0.5, 0.8))}))
    assert flip == Flip(scorer="x", weight=2.0, becomes=1.79, winners=["default/b"])


def test_nothing_flips_what_is_better_in_everything() -> None:
    assert flip_of(result({"x": (2.0, (1.0, 0.5)), "y": (3.0, (0.9, 0.8))})) is None


def test_nothing_flips_a_pick_that_did_not_follow_the_totals() -> None:
    assert flip_of(result({"x": (2.0, (0.0, 1.0))})) is None


@pytest.mark.parametrize(
    ("weight", "other", "becomes"),
    [
        pytest.param(2.0, 3.0, 3.01, id="more"),
        pytest.param(3.0, 3.0, 3.01, id="tie"),
        pytest.param(200.0, 300.0, 301.0, id="large"),
        pytest.param(0.02, 0.03, 0.0301, id="small"),
        pytest.param(0.0, 0.5, 0.501, id="from nothing"),
    ],
)
def test_change_is_told_in_few_digits_and_beyond_where_totals_are_equal(
    weight: float, other: float, becomes: float
) -> None:
    columns: Columns = {"x": (weight, (0.0, 1.0)), "y": (other, (1.0, 0.0))}
    flip = flip_of(result(columns))
    assert flip == Flip(scorer="x", weight=weight, becomes=becomes, winners=["default/b"])


def test_change_that_would_end_at_nothing_is_told_in_more_digits() -> None:
    flip = flip_of(result({"x": (2.0, (1.0, 0.0)), "y": (1.0, (0.0, 0.008))}))
    assert flip == Flip(scorer="x", weight=2.0, becomes=0.007, winners=["default/b"])


def test_those_that_would_win_alike_are_all_told() -> None:
    flip = flip_of(result({"x": (2.0, (1.0, 0.0, 0.0)), "y": (1.0, (0.0, 0.5, 0.5))}, candidates=[A, B, C]))
    assert flip is not None
    assert flip.winners == ["default/b", "default/c"]


score = st.sampled_from([0.0, 0.25, 0.3, 0.5, 0.7, 1.0])
rows = st.lists(st.tuples(score, score, score), min_size=2, max_size=3)
weights = st.tuples(*[st.sampled_from([0.0, 0.1, 1.0, 2.0, 3.0, 50.0])] * 3)


@given(rows=rows, weights=weights)
def test_what_flips_is_what_wins_then(
    rows: Sequence[tuple[float, float, float]], weights: tuple[float, float, float]
) -> None:
    """The change that is told is tried."""
    candidates = [A, B, C][: len(rows)]
    columns = {
        name: (weight, [row[i] for row in rows]) for i, (name, weight) in enumerate(zip("xyz", weights, strict=True))
    }
    before = result(columns, candidates=candidates)
    picked = candidates[before.totals.index(max(before.totals))]
    flip = flip_of(result(columns, candidates=candidates, picked=picked))
    if flip is None:
        return
    after = with_weight(columns, flip, candidates)
    assert picked.key not in flip.winners
    assert set(leaders(after)) <= set(flip.winners)
    assert max(after.totals) - after.totals[candidates.index(picked)] > 0.00005


def test_tie_names_those_that_were_as_good() -> None:
    one = result({"x": (3.0, (1.0, 0.0, 0.5)), "y": (3.0, (0.0, 1.0, 0.0))}, candidates=[A, B, C])
    assert explanation(one)["tied"] == ["default/b"]
    assert explanation(one)["margin"] == 0.0


def test_explanation_has_the_table_and_who_was_removed_by_whom() -> None:
    one = result({"x": (2.0, (1.0, 0.5))})
    one = replace(one, removed=[Removal("f", [C])])
    assert explanation(one) == {
        "profile": "p",
        "removed": [{"by": "f", "endpoints": ["default/c"]}],
        "weights": {"x": 2.0},
        "candidates": [
            {"endpoint": "default/a", "x": 1.0, "total": 2.0},
            {"endpoint": "default/b", "x": 0.5, "total": 1.0},
        ],
        "picked": ["default/a"],
        "margin": 1.0,
        "tied": [],
        "flip": None,
    }
