"""A second profile, tried on live requests: what it would have picked is counted, and nothing else."""

import random
from collections.abc import Sequence

from epp.observability import Metrics
from epp.plugin import Decision, Endpoint, InferenceRequest, PrefixMatches, Rejection
from epp.scheduling import Profile

LIVE, SHADOW = "live", "shadow"


class Shadow:
    """Compares a profile's picks with the decisions, on a sample of requests."""

    def __init__(self, profile: Profile, sample_ratio: float, *, metrics: Metrics, rng: random.Random) -> None:
        self._profile = profile
        self._sample_ratio = sample_ratio
        self._metrics = metrics
        self._random = rng

    def compare(self, request: InferenceRequest, candidates: Sequence[Endpoint], decision: Decision) -> None:
        """Count what the profile picks of the same candidates.

        Synchronous on purpose, and called before anything else happens: it sees the load that the decision has seen.
        """
        if self._random.random() >= self._sample_ratio:
            return
        try:
            picked = self._profile.run(request, candidates).picked[0]
        except Rejection:
            self._metrics.shadow_compared("refused")
            return
        self._metrics.shadow_compared("agrees" if picked is decision.primary else "differs")
        for who, endpoint in ((LIVE, decision.primary), (SHADOW, picked)):
            self._metrics.shadow_picked(who, endpoint, _matched_tokens(request, endpoint), _requests(endpoint))


def _matched_tokens(request: InferenceRequest, endpoint: Endpoint) -> int:
    matches = request.attribute(PrefixMatches)
    return 0 if matches is None else matches.matched_tokens.get(endpoint, 0)


def _requests(endpoint: Endpoint) -> int:
    return (endpoint.load.waiting or 0) + (endpoint.load.running or 0)
