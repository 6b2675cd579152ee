"""``destination-endpoint-served-verifier``: shows a test which endpoint the gateway says has served it."""

from collections.abc import Mapping

from epp.plugin import Decision, InferenceRequest, Response

HEADER = "x-conformance-test-served-endpoint"


class DestinationEndpointServedVerifier:
    """Copies the gateway's report of who served a request into a response header: for tests only.

    The gateway conformance suite compares it with the endpoint that it asked for.
    """

    def on_response_head(self, request: InferenceRequest, decision: Decision, response: Response) -> Mapping[str, str]:
        """Return the header; a gateway that reports nothing is named as such."""
        return {HEADER: response.served_by or "fail: the gateway did not report who served the request"}
