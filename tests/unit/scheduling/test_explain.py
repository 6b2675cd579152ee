"""Why an endpoint was picked, and how little would have changed it."""

from collections.abc import Mapping, Sequence

import pytest
from msgspec.structs import replace

from epp.plugin import Endpoint, ProfileResult, Removal, ScoreColumn
from epp.plugin.testing import make_endpoint
from epp.scheduling.explain import explanation, flip_of, margin_of

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


def test_smallest_change_of_one_weight_is_found() -> None:
    # a: 2 x 1 + 3 x 0.5 = 3.5, b: 2 x 0.5 + 3 x 0.8 = 3.4. With x at 1.8, or y at 3.33, they are equal.
    flip = flip_of(result({"x": (2.0, (1.0, 0.5)), "y": (3.0, (0.5, 0.8))}))
    assert flip is not None
    assert (flip.scorer, flip.weight, flip.winner) == ("x", 2.0, "default/b")
    assert flip.becomes == pytest.approx(1.8)


def test_nothing_flips_what_is_better_in_everything() -> None:
    assert flip_of(result({"x": (2.0, (1.0, 0.5)), "y": (3.0, (0.9, 0.8))})) is None


def test_nothing_flips_a_pick_that_did_not_follow_the_totals() -> None:
    assert flip_of(result({"x": (2.0, (0.0, 1.0))})) is None


def test_what_flips_is_what_wins_then() -> None:
    """The change that is told is tried."""
    columns: Columns = {"x": (2.0, (1.0, 0.2, 0.6)), "y": (3.0, (0.4, 1.0, 0.7)), "z": (1.0, (0.5, 0.0, 0.1))}
    flip = flip_of(result(columns, candidates=[A, B, C]))
    assert flip is not None
    beyond = flip.becomes + (0.001 if flip.becomes > flip.weight else -0.001)
    changed = result({**columns, flip.scorer: (beyond, columns[flip.scorer][1])}, candidates=[A, B, C])
    best = changed.totals.index(max(changed.totals))
    assert changed.candidates[best].key == flip.winner != "default/a"


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
        "flip": None,
    }
