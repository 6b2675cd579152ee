"""``single-profile-handler``: there is one profile, and its pick is the decision."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from epp.plugin import Decision, InferenceRequest, ProfileResult


class SingleProfileHandler:
    """Runs the only profile."""

    max_profiles: ClassVar[int] = 1

    def select(
        self, request: InferenceRequest, profiles: Sequence[str], results: Mapping[str, ProfileResult]
    ) -> Sequence[str]:
        """Return the profile once."""
        return () if results else profiles[:1]

    def decide(self, request: InferenceRequest, results: Mapping[str, ProfileResult]) -> Decision:
        """Return the profile's pick."""
        (result,) = results.values()
        return Decision(endpoints=result.picked, results=results)
