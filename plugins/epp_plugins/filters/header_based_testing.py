"""``header-based-testing-filter``: lets a test say where its requests go."""

import ipaddress
from collections.abc import Sequence

from epp.plugin import Endpoint, InferenceRequest

HEADER = "test-epp-endpoint-selection"


class HeaderBasedTestingFilter:
    """Keeps the endpoints that a request's header lists, as addresses or ``ip:port``, and no other: for tests only.

    The gateway conformance suite steers its requests with this header. A request without it is not filtered.
    """

    def filter(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """Return the listed candidates, in the order of the list."""
        listed = request.head.get(HEADER)
        if listed is None:
            return candidates
        wanted = [part.strip() for part in listed.split(",")]
        kept = [
            endpoint
            for part in wanted
            for endpoint in candidates
            if part == endpoint.host_port or _is_address(part, endpoint)
        ]
        return list(dict.fromkeys(kept))


def _is_address(text: str, endpoint: Endpoint) -> bool:
    try:
        return ipaddress.ip_address(text.strip("[]")) == ipaddress.ip_address(endpoint.address)
    except ValueError:
        return False
