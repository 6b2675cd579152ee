"""Requests whose parts are done by different endpoints: what the deciders and the profile handlers have in common."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from epp.plugin import Endpoint, InferenceRequest, ProfileResult

PREFILL_HEADER = "x-prefiller-host-port"
ENCODE_HEADER = "x-encoder-hosts-ports"
"""Read by the coordinator beside the decoding engine."""


class Decider(Protocol):
    """Says whether a part of the work is worth doing elsewhere."""

    def is_worth_it(self, request: InferenceRequest, decode: Endpoint | None) -> bool:
        """Tell whether it is; ``decode`` is the endpoint that would do it otherwise, where that is known already."""
        ...


def picked(results: Mapping[str, ProfileResult], profile: str) -> Sequence[Endpoint]:
    """Return what a profile has picked, nothing if it did not run."""
    result = results.get(profile)
    return result.picked if result is not None else ()


def worker_headers(prefill: Sequence[Endpoint], encode: Sequence[Endpoint]) -> dict[str, str]:
    """Return the headers that name those who do a part of the work; none for a part that nobody does."""
    headers = {}
    if prefill:
        headers[PREFILL_HEADER] = prefill[0].host_port
    if encode:
        headers[ENCODE_HEADER] = ",".join(endpoint.host_port for endpoint in encode)
    return headers
