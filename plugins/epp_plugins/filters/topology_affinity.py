"""``topology-affinity-filter``: keeps endpoints near the one that does another part of the work."""

from collections.abc import Sequence

from epp.plugin import Endpoint, InferenceRequest, PeerEndpoint, PluginParams
from epp_plugins.topology import Level, shared_level


class Params(PluginParams):
    """Names and defaults of the Go pickers."""

    min_affinity: Level = Level.HOST
    """What has to be shared at least: ``host``, ``rack``, ``zone`` or ``region``."""


class TopologyAffinityFilter:
    """Keeps the endpoints that are near the one that `disagg-profile-handler` has chosen before."""

    def __init__(self, params: Params) -> None:
        levels = list(Level)
        self._enough = frozenset(levels[: levels.index(params.min_affinity) + 1])

    def filter(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """Return those that are near enough; all when none is, or before any was chosen."""
        peer = request.attribute(PeerEndpoint)
        if peer is None:
            return candidates
        return [one for one in candidates if shared_level(one, peer.endpoint) in self._enough] or candidates
