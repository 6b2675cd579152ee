"""One profile: filters, scorers, picker."""

from collections.abc import Sequence
from dataclasses import dataclass

from epp.plugin import (
    DropReason,
    Endpoint,
    Filter,
    InferenceRequest,
    Picker,
    ProfileResult,
    Rejection,
    Removal,
    ScoreColumn,
    Scorer,
)
from epp.scheduling.in_play import InPlay

USUAL_SCORERS = 3
"""As many as the default profile has."""
IN_PLAY = "in play"
"""Names what `InPlay` removes."""


@dataclass(frozen=True, slots=True)
class NamedFilter:
    """A filter, and what the configuration calls it."""

    name: str
    filter: Filter


@dataclass(frozen=True, slots=True)
class WeightedScorer:
    """A scorer and its say in the profile's totals."""

    name: str
    scorer: Scorer
    weight: float


@dataclass(frozen=True, slots=True)
class Profile:
    """A named set of filters, scorers and a picker, in the order of the configuration."""

    name: str
    filters: Sequence[NamedFilter]
    scorers: Sequence[WeightedScorer]
    picker: Picker
    in_play: InPlay

    def run(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> ProfileResult:
        """Return what this profile picks and why; raises `Rejection` (429) when the filters leave nothing.

        The total of a candidate is the sum of weight x score, not normalised.
        """
        removed: list[Removal] = []
        for named in self.filters:
            kept = named.filter.filter(request, candidates)
            if not kept:
                message = f"profile `{self.name}`: no endpoint passed the filter `{named.name}`"
                raise Rejection(DropReason.SATURATED, message)
            candidates = _noting(removed, named.name, candidates, kept)
        kept = self.in_play.of(candidates)
        if kept is not candidates:
            candidates = _noting(removed, IN_PLAY, candidates, kept)
        columns = [
            ScoreColumn(scorer=weighted.name, weight=weighted.weight, scores=weighted.scorer.score(request, candidates))
            for weighted in self.scorers
        ]
        totals = _totals(columns, len(candidates))
        picked = tuple(self.picker.pick(request, candidates, totals))
        return ProfileResult(
            profile=self.name, removed=removed, candidates=candidates, columns=columns, totals=totals, picked=picked
        )


def _noting(
    removed: list[Removal], by: str, before: Sequence[Endpoint], kept: Sequence[Endpoint]
) -> Sequence[Endpoint]:
    """Return what was kept, after noting what was not."""
    if len(kept) != len(before):
        known = set(kept)
        removed.append(Removal(by, [endpoint for endpoint in before if endpoint not in known]))
    return kept


def _totals(columns: Sequence[ScoreColumn], count: int) -> list[float]:
    """Return the sum of weight x score of each candidate.

    Of three columns, the default's number, in one pass: `bench/micro/scheduling.py`.
    """
    if len(columns) == USUAL_SCORERS:
        one, two, three = columns
        u, v, w = one.weight, two.weight, three.weight
        return [u * x + v * y + w * z for x, y, z in zip(one.scores, two.scores, three.scores)]  # noqa: B905
    totals = [0.0] * count
    for column in columns:
        weight = column.weight
        totals = [total + weight * score for total, score in zip(totals, column.scores, strict=True)]
    return totals
