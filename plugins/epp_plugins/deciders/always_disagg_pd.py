"""``always-disagg-pd-decider``: every prompt is computed elsewhere."""

from epp.plugin import Endpoint, InferenceRequest


class AlwaysDisaggPdDecider:
    """Says yes."""

    def is_worth_it(self, request: InferenceRequest, decode: Endpoint | None) -> bool:
        """Return `True`."""
        return True
