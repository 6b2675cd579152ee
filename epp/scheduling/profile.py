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
    ScoreColumn,
    Scorer,
)
from epp.scheduling.in_play import InPlay


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
    filters: Sequence[Filter]
    scorers: Sequence[WeightedScorer]
    picker: Picker
    in_play: InPlay

    def run(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> ProfileResult:
        """Return what this profile picks and why; raises `Rejection` (429) when the filters leave nothing.

        The total of a candidate is the sum of weight x score, not normalised.
        """
        for one in self.filters:
            candidates = one.filter(request, candidates)
            if not candidates:
                raise Rejection(DropReason.SATURATED, f"profile `{self.name}`: no endpoint passed the filters")
        candidates = self.in_play.of(candidates)
        columns = [
            ScoreColumn(scorer=weighted.name, weight=weighted.weight, scores=weighted.scorer.score(request, candidates))
            for weighted in self.scorers
        ]
        totals = _totals(columns, len(candidates))
        picked = self.picker.pick(request, candidates, totals)
        return ProfileResult(profile=self.name, candidates=candidates, columns=columns, totals=totals, picked=picked)


def _totals(columns: Sequence[ScoreColumn], count: int) -> list[float]:
    if not columns:
        return [0.0] * count
    first, *others = columns
    totals = [first.weight * score for score in first.scores]
    for column in others:
        weight = column.weight
        totals = [total + weight * score for total, score in zip(totals, column.scores, strict=True)]
    return totals
