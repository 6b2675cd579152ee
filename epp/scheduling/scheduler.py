"""The loop of the profile handler: it names profiles, they run, it decides."""

from collections.abc import Mapping, Sequence

from epp.plugin import Decision, Endpoint, InferenceRequest, ProfileHandler, ProfileResult
from epp.scheduling.profile import Profile


class Scheduler:
    """Turns a request and its candidates into a decision."""

    def __init__(self, profiles: Sequence[Profile], handler: ProfileHandler) -> None:
        self._profiles: Mapping[str, Profile] = {profile.name: profile for profile in profiles}
        self._names = tuple(self._profiles)
        self._handler = handler

    def schedule(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Decision:
        """Return where the request goes.

        Synchronous on purpose: nothing changes an endpoint's load between the first filter and the pick. Raises
        `Rejection` when a profile's filters leave no candidate. A profile runs at most once, so a handler that asks
        for the same profile again ends the loop instead of spinning in it.
        """
        results: dict[str, ProfileResult] = {}
        while todo := [name for name in self._handler.select(request, self._names, results) if name not in results]:
            for name in todo:
                results[name] = self._profiles[name].run(request, candidates)
        return self._handler.decide(request, results)
