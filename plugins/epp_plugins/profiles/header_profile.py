"""``header-profile-handler``: a request's header names its profile."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from msgspec import Meta

from epp.plugin import Decision, DropReason, InferenceRequest, PluginParams, ProfileResult, Rejection

SHOWN_CHARACTERS = 100
"""Clients choose the header's value; in messages it is cut."""


class Params(PluginParams):
    """Names and defaults of the Go pickers."""

    header_name: Annotated[str, Meta(min_length=1)] = "EPP-Profile"
    default_profile: str = "decode"
    """For requests without the header."""


class HeaderProfileHandler:
    """Runs the profile that the header names."""

    def __init__(self, params: Params) -> None:
        self._header = params.header_name.lower()
        self._default = params.default_profile

    def select(
        self, request: InferenceRequest, profiles: Sequence[str], results: Mapping[str, ProfileResult]
    ) -> Sequence[str]:
        """Return the profile once; refuses (429) a request for one that there is not."""
        if results:
            return ()
        wanted = request.head.get(self._header, self._default)
        if wanted not in profiles:
            named = f"header {self._header} names profile `{wanted[:SHOWN_CHARACTERS]}`"
            message = f"{named}; there are {', '.join(profiles)}"
            raise Rejection(DropReason.SATURATED, message)
        return (wanted,)

    def decide(self, request: InferenceRequest, results: Mapping[str, ProfileResult]) -> Decision:
        """Return the profile's pick."""
        (result,) = results.values()
        return Decision(endpoints=result.picked, results=results)
