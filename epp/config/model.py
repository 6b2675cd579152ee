"""The sections of an ``EndpointPickerConfig``, one struct each; keys are camelCase in the file.

Every field has a default, so that one wrong value does not hide the problems of its neighbours: `epp.config.check`
says which ones are required.
"""

from typing import Annotated, Any, Literal

import msgspec

API_VERSIONS = ("llm-d.ai/v1alpha1", "inference.networking.x-k8s.io/v1alpha1")
"""Current and old; they mean the same."""
KIND = "EndpointPickerConfig"
Quantity = int | float | str
"""A Kubernetes quantity, such as ``5000``, ``1Gi`` or ``100M``."""


class _Section(msgspec.Struct, frozen=True, rename="camel"):
    pass


class PluginSpec(_Section, frozen=True):
    """One plugin instance."""

    name: str = ""
    """How references call it; the type when left out."""
    type: str = ""
    """The registered plugin type. Required."""
    parameters: dict[str, Any] | None = None
    """Checked against the plugin's own parameter struct."""

    @property
    def ref(self) -> str:
        """What a ``pluginRef`` to it says."""
        return self.name or self.type


class PluginRef(_Section, frozen=True):
    """A reference to a plugin of the ``plugins`` list."""

    plugin_ref: str = ""


class ProfilePluginSpec(_Section, frozen=True):
    """A plugin's place in a profile."""

    plugin_ref: str = ""
    weight: float | None = None
    """Of a scorer, 0 or more; 1 when left out."""


class ProfileSpec(_Section, frozen=True):
    """A named set of filters, scorers and a picker."""

    name: str = ""
    plugins: list[ProfilePluginSpec] = []


class RequestHandlerSpec(_Section, frozen=True):
    """How requests are read."""

    parsers: list[PluginRef] = []


class SourceSpec(_Section, frozen=True):
    """A data source, and what reads its pages."""

    plugin_ref: str = ""
    extractors: list[PluginRef] = []


class DataLayerSpec(_Section, frozen=True):
    """Where endpoints and their load come from."""

    inject_defaults: bool = True
    """Whether a source and an extractor that are left out are added."""
    sources: list[SourceSpec] = []
    """At most one."""
    discovery: PluginRef | None = None
    peer_discovery: PluginRef | None = None
    """Other pickers; without effect in the Go pickers as well as here."""
    cross_replica_syncer_plugin_ref: str = ""
    """Without effect, like the interval."""
    cross_replica_sync_interval: str = "200ms"


class PriorityBandSpec(_Section, frozen=True):
    """How requests of one priority wait."""

    priority: int | None = None
    """Required in a list; without meaning in the bands for priorities that have none of their own."""
    max_bytes: Quantity | None = None
    max_requests: Quantity | None = None
    fairness_policy_ref: str = ""
    ordering_policy_ref: str = ""


class FlowControlSpec(_Section, frozen=True):
    """How requests wait when the pool is saturated."""

    max_bytes: Quantity | None = None
    """Of all bodies that wait; 0 or left out: no limit, as for `max_requests`."""
    max_requests: Quantity | None = None
    default_request_ttl: str = msgspec.field(default="60s", name="defaultRequestTTL")
    """How long a request waits; 0s: for ever."""
    no_endpoint_request_ttl: str | None = msgspec.field(default=None, name="noEndpointRequestTTL")
    """The same while the pool is empty; as the one before when left out."""
    default_priority_band: PriorityBandSpec | None = None
    default_negative_priority_band: PriorityBandSpec | None = None
    priority_bands: list[PriorityBandSpec] = []
    usage_limit_policy_plugin_ref: str = ""
    saturation_detector: PluginRef | None = None
    enable_eviction: bool = False


class ShadowSpec(_Section, frozen=True):
    """A profile that is tried on live requests and decides nothing; not in the Go pickers."""

    profile_ref: str = ""
    """One of ``schedulingProfiles``, which then decides nothing. Required."""
    sample_ratio: float = 0.1
    """Share of requests that it is tried on."""


class ObjectiveSpec(_Section, frozen=True):
    """How urgent requests are that name it; as an InferenceObjective says it."""

    name: str = ""
    """Required."""
    priority: int = 0
    """Below 0: it can be done without when the pool is full."""


class ModelSpec(_Section, frozen=True):
    """A model, as clients name it."""

    value: str = ""
    """Required."""
    type: Literal["Exact"] = "Exact"


class MatchSpec(_Section, frozen=True):
    """What a rule is for."""

    model: ModelSpec = ModelSpec()


class TargetSpec(_Section, frozen=True):
    """A model to ask for in place of it."""

    model_rewrite: str = ""
    """Required."""
    weight: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None
    """In proportion to the other targets'."""


class RewriteRuleSpec(_Section, frozen=True):
    """A rule of an InferenceModelRewrite."""

    matches: list[MatchSpec] = []
    """Any of them; none: all models that no other rule names."""
    targets: list[TargetSpec] = []
    """At least one."""


class EndpointPickerConfig(_Section, frozen=True):
    """The whole file."""

    api_version: str = ""
    kind: str = ""
    feature_gates: list[str] = []
    """``name``, ``name=true`` or ``name=false`` each."""
    plugins: list[PluginSpec] = []
    scheduling_profiles: list[ProfileSpec] = []
    request_handler: RequestHandlerSpec = RequestHandlerSpec()
    data_layer: DataLayerSpec = DataLayerSpec()
    shadow: ShadowSpec | None = None
    inference_objectives: list[ObjectiveSpec] = []
    """Beside those of the API server, where there is one; not in the Go pickers, like the next one."""
    model_rewrites: list[RewriteRuleSpec] = []
    flow_control: FlowControlSpec | None = None
    saturation_detector: PluginRef | None = None
    """The old place of ``flowControl.saturationDetector``."""
    parser: PluginRef | None = None
    """The old place of ``requestHandler.parsers[0]``."""

    @property
    def deciding_profiles(self) -> list[ProfileSpec]:
        """All profiles but the one in the shadow."""
        shadow = self.shadow.profile_ref if self.shadow else None
        return [profile for profile in self.scheduling_profiles if profile.name != shadow]

    @property
    def parsers(self) -> list[PluginRef]:
        """The parsers, from either place."""
        return self.request_handler.parsers or ([self.parser] if self.parser else [])
