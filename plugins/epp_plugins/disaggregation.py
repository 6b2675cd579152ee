"""Requests whose parts are done by different endpoints: what profile handlers make of it."""

from collections.abc import Mapping, Sequence

from epp.plugin import Endpoint, ProfileResult

PREFILL_HEADER = "x-prefiller-host-port"
ENCODE_HEADER = "x-encoder-hosts-ports"
"""Read by the coordinator beside the decoding engine."""


def picked(results: Mapping[str, ProfileResult], profile: str) -> Sequence[Endpoint]:
    """Return what a profile has picked, nothing if it did not run."""
    result = results.get(profile)
    return result.picked if result is not None else ()


def role_headers(prefill: Sequence[Endpoint], encode: Sequence[Endpoint]) -> dict[str, str]:
    """Return the headers that name those who do a part of the work; none for a part that nobody does."""
    headers = {}
    if prefill:
        headers[PREFILL_HEADER] = prefill[0].host_port
    if encode:
        headers[ENCODE_HEADER] = ",".join(endpoint.host_port for endpoint in encode)
    return headers
