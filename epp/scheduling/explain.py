"""Why a profile picked what it picked, and how little would have changed that."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from epp.plugin import ProfileResult, ScoreColumn

SHOWN = 4
"""Digits after the point: what is shown adds up to the eye, the decision itself is not rounded."""


LEAST_LEAD = 10.0**-SHOWN
"""How far ahead another endpoint has to be to win to the eye as well."""
DIGITS = 3
"""Of a weight that is told, at least; as many more, one by one, where these would round it away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """The smallest change of one weight after which another endpoint would have won."""

    scorer: str
    weight: float
    """As it is."""
    becomes: float
    """With this the others are ahead; in few digits, so a little beyond where they would be level."""
    winners: Sequence[str]
    """The other endpoint; several that would be level with each other."""


def margin_of(result: ProfileResult) -> float | None:
    """Return how far the pick's total is above the best of the others, below 0 when it is not; ``None``: no others."""
    winner = result.candidates.index(result.picked[0])
    others = [total for i, total in enumerate(result.totals) if i != winner]
    return result.totals[winner] - max(others) if others else None


def tied_with(result: ProfileResult) -> list[str]:
    """Return the other endpoints with the pick's total, if that is the highest."""
    picked = result.picked[0]
    most = max(result.totals)
    best = [one for one, total in zip(result.candidates, result.totals, strict=True) if total == most]
    return [one.key for one in best if one != picked] if picked in best else []


def flip_of(result: ProfileResult) -> Flip | None:
    """Return the smallest change of one weight that would have changed the pick; ``None`` when no single one would.

    Each is tried before it is told: rounded, it may be too little, or enough for a third endpoint. A weight is more
    than 0.
    """
    winner = result.candidates.index(result.picked[0])
    ways = sorted(_ways(result, winner), key=lambda way: abs(way[1] - way[0].weight))
    flips = (_flip(result, winner, column, enough) for column, enough in ways)
    return next((flip for flip in flips if flip is not None), None)


def _ways(result: ProfileResult, winner: int) -> Iterator[tuple[ScoreColumn, float]]:
    """Yield the weights of single scorers with which another endpoint's total is above the pick's.

    Totals are sums of weight x score, so with the other weights as they are the totals of two candidates meet where the
    weight has changed by their difference divided by that of their scores.
    """
    for column in result.columns:
        for score, total in zip(column.scores, result.totals, strict=True):
            ahead, better = result.totals[winner] - total, column.scores[winner] - score
            enough = column.weight - (ahead + LEAST_LEAD) / better if better and ahead >= 0 else 0.0
            if enough > 0:
                yield column, enough


def _flip(result: ProfileResult, winner: int, column: ScoreColumn, enough: float) -> Flip | None:
    """Return what changes with a weight, in as few digits as will do."""
    first, last = (DIGITS - 1 - math.floor(math.log10(one)) for one in (max(column.weight, enough), enough))
    for digits in range(first, last + DIGITS):
        becomes = _rounded(enough, digits, up=enough > column.weight)
        change = becomes - column.weight
        totals = [total + change * score for total, score in zip(result.totals, column.scores, strict=True)]
        best = max(totals)
        if becomes > 0 and best - totals[winner] > LEAST_LEAD / 2:
            winners = [one.key for one, total in zip(result.candidates, totals, strict=True) if _is_level(total, best)]
            return Flip(scorer=column.scorer, weight=column.weight, becomes=becomes, winners=winners)
    return None


def _rounded(number: float, digits: int, *, up: bool) -> float:
    scale = 10.0**digits
    return round((math.ceil if up else math.floor)(number * scale) / scale, digits)


def _is_level(total: float, best: float) -> bool:
    return math.isclose(total, best, rel_tol=1e-9)


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
        "tied": tied_with(result),
        "flip": None if flip is None else asdict(flip),
    }
