"""A full pool refuses requests that can be done without."""

from collections.abc import Sequence

from epp.observability.lifecycle_guards import GuardedDetector
from epp.plugin import DropReason, Endpoint, InferenceRequest, Rejection

FULL = 1.0


class Shedder:
    """Refuses requests of a priority below 0 while the pool is saturated."""

    def __init__(self, detector: GuardedDetector) -> None:
        self._detector = detector

    def admit(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> None:
        """Return for a request that may go on; raises `Rejection` (429) otherwise."""
        if request.priority < 0 and self._detector.saturation(candidates) >= FULL:
            message = f"the pool is full, and requests of priority {request.priority} have to wait; retry later"
            raise Rejection(DropReason.SATURATED, message)
