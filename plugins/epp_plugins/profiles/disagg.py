"""``disagg-profile-handler``: one endpoint computes the prompt, another one writes the answer."""

import enum
from collections.abc import Collection, Mapping, Sequence

import msgspec

from epp.plugin import (
    ConfigurationError,
    Decider,
    Decision,
    Endpoint,
    InferenceRequest,
    PeerEndpoint,
    PluginParams,
    Problem,
    ProfileResult,
)
from epp_plugins.disaggregation import picked, role_headers


class StageOrder(enum.Enum):
    """Which endpoint is chosen first; the others can then be near it."""

    DECODE_FIRST = "decode-first"
    PREFILL_FIRST = "prefill-first"


class Profiles(PluginParams):
    """The profile of each part of the work."""

    decode: str = "decode"
    prefill: str = "prefill"
    encode: str = "encode"


class Deciders(PluginParams):
    """Names of the plugins that say whether a part is worth doing elsewhere; always, when left out."""

    prefill: str | None = None
    encode: str | None = None


class Params(PluginParams):
    """Names and defaults of the Go pickers."""

    stage_order: StageOrder = StageOrder.DECODE_FIRST
    profiles: Profiles = msgspec.field(default_factory=Profiles)
    deciders: Deciders = msgspec.field(default_factory=Deciders)
    decode_profile: str | None = None
    """The old place of ``profiles.decode``, like the next two."""
    prefill_profile: str | None = None
    encode_profile: str | None = None
    decider_plugin_name: str | None = None
    """The old place of ``deciders.prefill``."""

    @property
    def names(self) -> Profiles:
        """The profiles, from either place."""
        return Profiles(
            decode=self.decode_profile or self.profiles.decode,
            prefill=self.prefill_profile or self.profiles.prefill,
            encode=self.encode_profile or self.profiles.encode,
        )


class _PrefillTried:
    """Attached to a request whose prompt was to be computed elsewhere: perhaps nobody could."""


class DisaggProfileHandler:
    """Runs a profile for each part of the work that is worth doing elsewhere; the decoding endpoint gets the request.

    It is told of the others by headers, which the coordinator beside it reads. Where nobody can do a part, the decoding
    endpoint does it.
    """

    def __init__(self, params: Params) -> None:
        """Raise `ConfigurationError` for a decider that nobody would ask."""
        self._is_prefill_first = params.stage_order is StageOrder.PREFILL_FIRST
        self._names = params.names
        self._decider_names = {
            self._names.prefill: params.deciders.prefill or params.decider_plugin_name,
            self._names.encode: params.deciders.encode,
        }
        self._deciders: dict[str, Decider] = {}
        if self._is_prefill_first and self._decider_names[self._names.prefill]:
            message = "would never be asked: with prefill-first every prompt is computed elsewhere"
            raise ConfigurationError([Problem("deciders.prefill", message)])

    @property
    def optional_profiles(self) -> Collection[str]:
        """Those that a request can do without."""
        return (self._names.prefill, self._names.encode)

    def connect(self, plugins: Mapping[str, object]) -> None:
        """Find the deciders; raises `ConfigurationError` for a name that is none."""
        for profile, name in self._decider_names.items():
            if name is None:
                continue
            decider = plugins.get(name)
            if not hasattr(decider, "is_worth_it"):
                raise ConfigurationError([Problem("deciders", f"no decider is named `{name}`")])
            self._deciders[profile] = decider

    def select(
        self, request: InferenceRequest, profiles: Sequence[str], results: Mapping[str, ProfileResult]
    ) -> Sequence[str]:
        """Return the profiles of the next part."""
        names = self._names
        if self._is_prefill_first:
            return self._after_prefill(request, profiles, results)
        if names.decode not in results:
            return (names.decode,)
        decode = picked(results, names.decode)[0]
        request.attach(PeerEndpoint(decode))
        others = (name for name in (names.encode, names.prefill) if name in profiles and name not in results)
        return [name for name in others if self._is_worth_it(name, request, decode)]

    def decide(self, request: InferenceRequest, results: Mapping[str, ProfileResult]) -> Decision:
        """Return the decoding endpoint's pick, with the others in headers."""
        prefill, encode = picked(results, self._names.prefill), picked(results, self._names.encode)
        return Decision(
            endpoints=results[self._names.decode].picked,
            results=results,
            prefill=prefill[0] if prefill else None,
            headers=role_headers(prefill, encode),
        )

    def _after_prefill(
        self, request: InferenceRequest, profiles: Sequence[str], results: Mapping[str, ProfileResult]
    ) -> Sequence[str]:
        """Return the profiles of the next part, where the prompt's endpoint is chosen first."""
        names = self._names
        if names.decode in results:
            return ()
        if names.prefill in profiles and request.attribute(_PrefillTried) is None:
            request.attach(_PrefillTried())
            return (names.prefill,)
        prefill = picked(results, names.prefill)
        if prefill:
            request.attach(PeerEndpoint(prefill[0]))
        encodes = names.encode in profiles and self._is_worth_it(names.encode, request, None)
        return (names.encode, names.decode) if encodes else (names.decode,)

    def _is_worth_it(self, profile: str, request: InferenceRequest, decode: Endpoint | None) -> bool:
        decider = self._deciders.get(profile)
        return decider is None or decider.is_worth_it(request, decode)
