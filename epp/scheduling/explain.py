"""Why a profile picked what it picked, and how little would have changed that."""

from collections.abc import Mapping
from dataclasses import dataclass

from epp.plugin import ProfileResult

SHOWN = 4
"""Digits after the point: what is shown adds up to the eye, the decision itself is not rounded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """The smallest change of one weight after which another endpoint would have won."""

    scorer: str
    weight: float
    """As it is."""
    becomes: float
    """From there on the other one is ahead."""
    winner: str
    """The other endpoint."""


def margin_of(result: ProfileResult) -> float | None:
    """Return how far the pick's total is above the best of the others, below 0 when it is not; ``None``: no others."""
    winner = result.candidates.index(result.picked[0])
    others = [total for i, total in enumerate(result.totals) if i != winner]
    return result.totals[winner] - max(others) if others else None


def flip_of(result: ProfileResult) -> Flip | None:
    """Return the smallest change of one weight that would have changed the pick; ``None`` when no single one would.

    Totals are sums of weight x score, so with the other weights as they are the totals of two candidates meet where the
    weight has changed by their difference divided by that of their scores. A weight is more than 0.
    """
    winner = result.candidates.index(result.picked[0])
    flips = [
        Flip(
            scorer=column.scorer,
            weight=column.weight,
            becomes=becomes,
            winner=result.candidates[i].key,
        )
        for column in result.columns
        for i, total in enumerate(result.totals)
        if i != winner
        for becomes in _meeting(column.weight, result.totals[winner] - total, column.scores[winner] - column.scores[i])
    ]
    return min(flips, key=lambda flip: abs(flip.becomes - flip.weight), default=None)


def _meeting(weight: float, ahead: float, better: float) -> list[float]:
    """Return the weight at which two totals meet, if there is one that may be."""
    if not better or ahead < 0:
        return []
    becomes = weight - ahead / better
    return [becomes] if becomes > 0 else []


def explanation(result: ProfileResult) -> Mapping[str, object]:
    """Return it as JSON has it: what was removed by whom, the table, the pick, its margin, what would flip it."""
    margin, flip = margin_of(result), flip_of(result)
    return {
        "profile": result.profile,
        "removed": [
            {"by": removal.by, "endpoints": [one.key for one in removal.endpoints]} for removal in result.removed
        ],
        "weights": {column.scorer: column.weight for column in result.columns},
        "candidates": result.table(),
        "picked": [one.key for one in result.picked],
        "margin": None if margin is None else round(margin, SHOWN),
        "flip": None
        if flip is None
        else {
            "scorer": flip.scorer,
            "weight": flip.weight,
            "becomes": round(flip.becomes, SHOWN),
            "winner": flip.winner,
        },
    }
