"""``data-parallel-profile-handler``: all ranks of a pod are reached through one port."""

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

from msgspec import Meta

from epp.plugin import Decision, InferenceRequest, PluginParams, ProfileResult

HEADER = "x-data-parallel-host-port"


class Params(PluginParams):
    """Names and defaults of the Go pickers."""

    primary_port: Annotated[int, Meta(ge=1, le=65_535)] = 8000
    """Where the sidecar listens that passes requests on to ranks."""


class DataParallelProfileHandler:
    """Runs the only profile; the request goes to a sidecar, and a header tells it which rank was picked."""

    max_profiles: ClassVar[int] = 1

    def __init__(self, params: Params) -> None:
        self._port = params.primary_port

    def select(
        self, request: InferenceRequest, profiles: Sequence[str], results: Mapping[str, ProfileResult]
    ) -> Sequence[str]:
        """Return the profile once."""
        return () if results else profiles[:1]

    def decide(self, request: InferenceRequest, results: Mapping[str, ProfileResult]) -> Decision:
        """Return the profile's pick, by the sidecar's port."""
        (result,) = results.values()
        rank = result.picked[0].host_port
        # Only one: the header names its rank, and would be wrong at another pod's sidecar.
        return Decision(endpoints=result.picked[:1], results=results, port=self._port, headers={HEADER: rank})
