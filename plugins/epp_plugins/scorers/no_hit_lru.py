"""``no-hit-lru-scorer``: prompts that nobody has go where the longest ago one went."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Meta

from epp.plugin import Attribute, Decision, Endpoint, InferenceRequest, PluginParams, PrefixMatches

WARM_SCORE = 0.5
PREFILL_PROFILE = "prefill"
"""The profile whose pick counts as used too, by its name, as in the Go pickers."""


class Params(PluginParams):
    """Names and defaults of the Go pickers."""

    lru_size: Annotated[int, Meta(ge=1)] = 1024
    """Endpoints that are remembered."""
    prefix_match_info_producer_name: str | None = None
    """Accepted for files of the Go pickers; each attribute has one producer here."""
    prefix_plugin_type: str | None = None
    """Accepted and without effect, as there."""
    prefix_plugin_name: str | None = None
    """Accepted and without effect, as there."""


class NoHitLruScorer:
    """Rates, for a cold prompt, endpoints by how long ago they got one: never used first; 0.5 for a warm prompt.

    The i-th of n in that order rates ``1 - i / (n - 1)``. A prompt is cold when no candidate has a block of it.
    """

    consumes: ClassVar[Sequence[type[Attribute]]] = (PrefixMatches,)

    def __init__(self, params: Params) -> None:
        self._size = params.lru_size
        self._used: OrderedDict[Endpoint, None] = OrderedDict()
        """The least recently used first."""

    def score(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> list[float]:
        """Return 0..1 for each candidate."""
        matches = request.attribute(PrefixMatches)
        if matches is not None and any(matches.matched_tokens.get(endpoint) for endpoint in candidates):
            return [WARM_SCORE] * len(candidates)
        ages = {endpoint: age for age, endpoint in enumerate(self._used, 1)}
        order = sorted(range(len(candidates)), key=lambda i: ages.get(candidates[i], 0))
        ranks = {place: rank for rank, place in enumerate(order)}
        last = max(1, len(candidates) - 1)
        return [1 - ranks[i] / last for i in range(len(candidates))]

    def on_routed(self, request: InferenceRequest, decision: Decision) -> None:
        """Remember who got a cold prompt."""
        matches = request.attribute(PrefixMatches)
        considered = {endpoint for result in decision.results.values() for endpoint in result.candidates}
        if matches is not None and not considered.isdisjoint(matches.matched_tokens):
            return
        prefill = decision.results.get(PREFILL_PROFILE)
        for endpoint in (decision.primary, *(prefill.picked[:1] if prefill is not None else ())):
            self._used[endpoint] = None
            self._used.move_to_end(endpoint)
        while len(self._used) > self._size:
            self._used.popitem(last=False)

    def on_endpoint_removed(self, endpoint: Endpoint) -> None:
        """Forget it."""
        self._used.pop(endpoint, None)
