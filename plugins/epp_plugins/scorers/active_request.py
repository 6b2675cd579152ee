"""``active-request-scorer``: the endpoint with the fewest requests of this picker is best."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Meta

from epp.plugin import Endpoint, InferenceRequest, PluginParams


class Params(PluginParams):
    """Names and defaults of the Go pickers."""

    idle_threshold: Annotated[int, Meta(ge=0)] = 0
    """Requests in flight up to which an endpoint counts as idle."""
    max_busy_score: Annotated[float, Meta(ge=0, le=1)] = 1.0
    """The best that an endpoint rates which is not idle."""
    in_flight_load_producer_name: str | None = None
    """Accepted for files of the Go pickers; requests in flight are always known here."""
    request_timeout: str | None = None
    """Accepted for files of the Go pickers, which ignore it too."""


class ActiveRequestScorer:
    """Rates by requests in flight: 1 when idle, else (max - count) / max * `Params.max_busy_score`."""

    rates: ClassVar[Sequence[str]] = ("in_flight",)

    def __init__(self, params: Params) -> None:
        self._idle_threshold = params.idle_threshold
        self._max_busy_score = params.max_busy_score

    def score(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> list[float]:
        """Return 0..1 for each candidate."""
        counts = [endpoint.in_flight.requests for endpoint in candidates]
        most = max(counts, default=0)
        return [
            1.0 if count <= self._idle_threshold else (most - count) / most * self._max_busy_score for count in counts
        ]
