"""``always-disagg-multimodal-decider``: images and other media are encoded elsewhere."""

from epp.plugin import Endpoint, InferenceRequest


class AlwaysDisaggMultimodalDecider:
    """Says yes to requests with media."""

    def is_worth_it(self, request: InferenceRequest, decode: Endpoint | None) -> bool:
        """Tell whether there is anything to encode."""
        return request.has_media
