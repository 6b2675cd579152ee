"""The loop of the profile handler: it names profiles, they run, it decides."""

from collections.abc import Collection, Mapping, Sequence

from epp.plugin import Decision, Endpoint, InferenceRequest, ProfileHandler, ProfileResult, Rejection
from epp.scheduling.profile import Profile


class Scheduler:
    """Turns a request and its candidates into a decision."""

    def __init__(self, profiles: Sequence[Profile], handler: ProfileHandler, *, optional: Collection[str] = ()) -> None:
        """Take the profiles, who decides which of them run, and which of them that can do without."""
        self._profiles: Mapping[str, Profile] = {profile.name: profile for profile in profiles}
        self._names = tuple(self._profiles)
        self._handler = handler
        self._optional = optional

    def schedule(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> Decision:
        """Return where the request goes.

        Synchronous on purpose: nothing changes an endpoint's load between the first filter and the pick. Raises
        `Rejection` when a profile's filters leave no candidate, unless the handler can do without that profile. A
        profile runs at most once, so a handler that asks for the same profile again ends the loop instead of spinning
        in it.
        """
        results: dict[str, ProfileResult] = {}
        left = dict(self._profiles)
        while left:
            count = len(left)
            for name in self._handler.select(request, self._names, results):
                profile = left.pop(name, None)
                if profile is None:
                    continue
                try:
                    results[name] = profile.run(request, candidates)
                except Rejection:
                    if name not in self._optional:
                        raise
            if len(left) == count:
                break
        return self._handler.decide(request, results)
