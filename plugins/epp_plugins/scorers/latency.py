"""``latency-scorer``: the endpoint that will just keep what the request asks for is best."""

import enum
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

from msgspec import Meta

from epp.plugin import Attribute, Endpoint, InferenceRequest, LatencyPredictions, PluginParams, PrefixMatches

Weight = Annotated[float, Meta(ge=0)]
STEPS = 100
"""Ratings are whole hundredths, as in the Go pickers."""
Headrooms = Mapping[Endpoint, tuple[float, float]]


class Strategy(enum.Enum):
    """Which of the endpoints that are fast enough is best."""

    LEAST = "least"
    MOST = "most"


class Params(PluginParams):
    """Names and defaults of the Go pickers."""

    ttft_weight: Weight = 0.8
    tpot_weight: Weight = 0.2
    headroom_selection_strategy: Strategy = Strategy.LEAST
    """``least``: the one that is only just fast enough, so that fast ones stay free; ``most``: the fastest."""
    composite_kv_weight: Weight = 1.0
    """Of 1 - KV cache use, where nothing is predicted yet."""
    composite_queue_weight: Weight = 1.0
    composite_prefix_weight: Weight = 1.0
    latency_prediction_info_producer_name: str | None = None
    """Accepted for files of the Go pickers, like the next one."""
    prefix_match_info_producer_name: str | None = None


class LatencyScorer:
    """Rates by headroom: what is asked for minus what is predicted; without predictions by load and prefix."""

    rates: ClassVar[Sequence[str]] = ("in_flight", "waiting", "kv_cache_ratio")

    consumes: ClassVar[Sequence[type[Attribute]]] = (LatencyPredictions, PrefixMatches)

    def __init__(self, params: Params) -> None:
        self._params = params

    def score(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> list[float]:
        """Return 0.01..1 for the endpoints of the best kind, and 0 for the others.

        Kinds: fast enough; with nothing to do; too slow for each further token only; for the first one only; for both.
        """
        predictions = request.attribute(LatencyPredictions)
        known = predictions and {
            one: headrooms for one in candidates if (headrooms := predictions.headrooms(one)) is not None
        }
        if not known:
            return self._composite(request, candidates)
        bucket, strategy = self._best(known)
        rated = self._rate(bucket, strategy)
        return [rated.get(endpoint, 0.0) for endpoint in candidates]

    def _best(self, known: Headrooms) -> tuple[Headrooms, Strategy]:
        """Return the endpoints of the best kind, and which of them is best."""
        positive = {one: rooms for one, rooms in known.items() if min(rooms) > 0}
        if positive:
            return positive, self._params.headroom_selection_strategy
        idle = {one: rooms for one, rooms in known.items() if not one.in_flight.requests}
        tpot_only = {one: rooms for one, rooms in known.items() if rooms[0] > 0}
        ttft_only = {one: rooms for one, rooms in known.items() if rooms[1] > 0}
        return idle or tpot_only or ttft_only or known, Strategy.LEAST

    def _rate(self, bucket: Headrooms, strategy: Strategy) -> dict[Endpoint, float]:
        weights = (self._params.ttft_weight, self._params.tpot_weight)
        ranges = [(min(values), max(values)) for values in zip(*_sizes(bucket), strict=True)]
        used = [weight if most > least else 0.0 for weight, (least, most) in zip(weights, ranges, strict=True)]
        total = sum(used)
        rated = {}
        for endpoint, sizes in zip(bucket, _sizes(bucket), strict=True):
            shares = [
                (size - least) / (most - least) if most > least else 0.5
                for size, (least, most) in zip(sizes, ranges, strict=True)
            ]
            combined = sum(weight * share for weight, share in zip(used, shares, strict=True)) / total if total else 0.5
            closeness = combined if strategy is Strategy.MOST else 1 - combined
            rated[endpoint] = (int(STEPS * closeness) + 1) / STEPS
        return rated

    def _composite(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> list[float]:
        params, matches = self._params, request.attribute(PrefixMatches)
        longest = max(endpoint.load.waiting or 0 for endpoint in candidates)
        scores = []
        for endpoint in candidates:
            queue = (longest - (endpoint.load.waiting or 0)) / longest if longest else 1.0
            score = params.composite_kv_weight * (1 - (endpoint.load.kv_cache_ratio or 0.0))
            score += params.composite_queue_weight * queue
            score += params.composite_prefix_weight * (matches.ratio(endpoint) if matches else 0.0)
            scores.append(score)
        most = params.composite_kv_weight + params.composite_queue_weight + params.composite_prefix_weight
        return [round(score / most, 2) if most else 0.0 for score in scores]


def _sizes(bucket: Headrooms) -> list[tuple[float, float]]:
    """Return the headrooms of each, without their signs."""
    return [(abs(ttft), abs(tpot)) for ttft, tpot in bucket.values()]
