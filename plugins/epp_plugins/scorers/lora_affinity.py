"""``lora-affinity-scorer``: an endpoint that has the request's LoRA adapter loaded is best."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from epp.plugin import Adapters, Decision, Endpoint, InferenceRequest

ACTIVE, LOADED, ROOM, WAITING, NONE = 1.0, 0.9, 0.8, 0.6, 0.0


@dataclass(slots=True)
class _Memory:
    """The adapters that one endpoint has used, the last one last."""

    names: dict[str, None] = field(default_factory=dict)

    def use(self, name: str, most: int) -> None:
        """Note a use; keeps only as many as can be loaded."""
        self.names.pop(name, None)
        self.names[name] = None
        while len(self.names) > most:
            del self.names[next(iter(self.names))]


class LoraAffinityScorer:
    """Rates by what has to be loaded for a request's model, taken as the name of an adapter.

    Engines tell only which adapters have requests. One whose last request has ended stays loaded until others need its
    place; so those that were used last are remembered, as many as the engine can have.
    """

    rates: ClassVar[Sequence[str]] = ("adapters",)

    def __init__(self) -> None:
        self._memories: dict[Endpoint, _Memory] = {}
        self._adapters: set[str] = set()
        """All that any endpoint has ever had; other models are no adapters."""

    def score(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> list[float]:
        """Return 1 for running there, 0.9 loaded, 0.8 room to load it, 0.6 waiting to be loaded, else 0."""
        return [self._rate(request.model, endpoint) for endpoint in candidates]

    def on_routed(self, request: InferenceRequest, decision: Decision) -> None:
        """Remember that an endpoint is about to load an adapter."""
        endpoint = decision.primary
        if request.model in self._adapters and not endpoint.has_left:
            self._use(endpoint, [request.model], endpoint.load.adapters)

    def on_scraped(self, endpoint: Endpoint) -> None:
        """Remember the adapters that are at work."""
        adapters = endpoint.scraped.adapters
        if adapters is not None:
            self._adapters |= adapters.running | adapters.waiting
            self._use(endpoint, sorted(adapters.running), adapters)

    def on_endpoint_lost(self, endpoint: Endpoint) -> None:
        """Forget what was loaded: the process is gone."""
        self._memories.pop(endpoint, None)

    def on_endpoint_removed(self, endpoint: Endpoint) -> None:
        """Forget the endpoint."""
        self._memories.pop(endpoint, None)

    def _use(self, endpoint: Endpoint, names: Sequence[str], adapters: Adapters | None) -> None:
        memory = self._memories.setdefault(endpoint, _Memory())
        for name in names:
            memory.use(name, (adapters.max_loaded if adapters else None) or 1)

    def _rate(self, model: str, endpoint: Endpoint) -> float:
        adapters = endpoint.load.adapters
        if adapters is None:
            return NONE
        if model in adapters.running:
            return ACTIVE
        memory = self._memories.get(endpoint)
        if memory is not None and model in memory.names:
            return LOADED
        if len(adapters.running) + len(adapters.waiting) < (adapters.max_loaded or 0):
            return ROOM
        return WAITING if model in adapters.waiting else NONE
