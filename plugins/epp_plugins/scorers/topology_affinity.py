"""``topology-affinity-scorer``: near the endpoint that does another part of the work is best."""

from collections.abc import Mapping, Sequence

from epp.plugin import Endpoint, InferenceRequest, PeerEndpoint
from epp_plugins.topology import Level, shared_level

SCORES: Mapping[Level | None, float] = {
    Level.HOST: 1.0,
    Level.RACK: 0.2,
    Level.ZONE: 0.05,
    Level.REGION: 0.02,
    None: 0.0,
}


class TopologyAffinityScorer:
    """Rates by what an endpoint shares with the one that `disagg-profile-handler` has chosen before: KV moves there."""

    def score(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> list[float]:
        """Return 1 for the same host, 0.2 rack, 0.05 zone, 0.02 region, else 0; all 0 before any was chosen."""
        peer = request.attribute(PeerEndpoint)
        if peer is None:
            return [0.0] * len(candidates)
        return [SCORES[shared_level(endpoint, peer.endpoint)] for endpoint in candidates]
