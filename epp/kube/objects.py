"""What is read of Kubernetes objects; everything else in them is skipped unseen.

Fields and groups: shared with the Gateway API Inference Extension and llm-d (InferencePool v1 and v1alpha2,
InferenceObjective and InferenceModelRewrite v1alpha2).
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct, field

NEW_POOL_GROUP = "inference.networking.k8s.io"
OLD_POOL_GROUP = "inference.networking.x-k8s.io"
POOL_VERSIONS: Mapping[str, str] = {NEW_POOL_GROUP: "v1", OLD_POOL_GROUP: "v1alpha2"}
POLICY_GROUPS = ("llm-d.ai", OLD_POOL_GROUP)
"""Groups of InferenceObjective and InferenceModelRewrite; of two that are there the first counts."""
POLICY_VERSION = "v1alpha2"
ACTIVE_PORTS = ("llm-d.ai/active-ports", "inference.networking.k8s.io/active-ports")
"""Annotations of a pod that say which of the target ports serve, in the order of precedence."""

PortNumber = Annotated[int, Meta(ge=1, le=65_535)]


class Metadata(Struct, rename="camel"):
    """Who an object is."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None


class _Version(Struct, rename="camel"):
    resource_version: str | None = None


class Versioned(Struct):
    """How new an object is, whatever else is in it: servers write ``null`` where there is nothing."""

    metadata: _Version = field(default_factory=_Version)


class _Name(Struct):
    name: str | None = None


class Named(Struct):
    """What an object is called, whatever else is in it."""

    metadata: _Name = field(default_factory=_Name)


class KubeObject(Struct, rename="camel"):
    """What all have."""

    metadata: Metadata = field(default_factory=Metadata)


class Condition(Struct):
    """One condition of a status."""

    type: str = ""
    status: str = ""
    reason: str | None = None
    message: str | None = None


class _PodStatus(Struct, rename="camel"):
    pod_ip: str = field(name="podIP", default="")
    conditions: list[Condition] | None = None


class Pod(KubeObject, rename="camel"):
    """A pod."""

    status: _PodStatus = field(default_factory=_PodStatus)

    @property
    def is_serving(self) -> bool:
        """Tell whether it takes requests: it is ready, and not being deleted."""
        return self.metadata.deletion_timestamp is None and any(
            one.type == "Ready" and one.status == "True" for one in self.status.conditions or ()
        )


class TargetPort(Struct):
    """A port of the pods."""

    number: PortNumber


class _Selector(Struct, rename="camel"):
    match_labels: dict[str, str]


class _PoolSpec(Struct, rename="camel"):
    selector: _Selector
    target_ports: Annotated[list[TargetPort], Meta(min_length=1)]


class _OldPoolSpec(Struct, rename="camel"):
    selector: dict[str, str]
    target_port_number: PortNumber


class PoolShape(Struct, frozen=True):
    """Which pods are the pool, and on which ports they serve."""

    labels: Mapping[str, str]
    ports: Sequence[int]

    @property
    def selector(self) -> str:
        """As a list takes it."""
        return ",".join(f"{name}={value}" for name, value in self.labels.items())


class AnyPool(KubeObject, rename="camel"):
    """An InferencePool of whichever version."""

    @property
    def shape(self) -> PoolShape:
        """What it says of its pods."""
        raise NotImplementedError


class InferencePool(AnyPool, rename="camel", kw_only=True):
    """InferencePool v1."""

    spec: _PoolSpec

    @property
    def shape(self) -> PoolShape:
        """What it says of its pods."""
        return PoolShape(self.spec.selector.match_labels, [port.number for port in self.spec.target_ports])


class OldInferencePool(AnyPool, rename="camel", kw_only=True):
    """InferencePool v1alpha2."""

    spec: _OldPoolSpec

    @property
    def shape(self) -> PoolShape:
        """What it says of its pods."""
        return PoolShape(self.spec.selector, [self.spec.target_port_number])


class PoolRef(Struct):
    """The pool that a policy is for."""

    name: str = ""
    group: str = NEW_POOL_GROUP


class _ObjectiveSpec(Struct, rename="camel"):
    priority: int | None = None
    pool_ref: PoolRef = field(default_factory=PoolRef)


class InferenceObjective(KubeObject, rename="camel"):
    """How urgent requests are that name it."""

    spec: _ObjectiveSpec = field(default_factory=_ObjectiveSpec)


class _ModelMatch(Struct):
    value: str = ""
    type: Literal["Exact"] = "Exact"


class _Match(Struct):
    model: _ModelMatch | None = None


class _Target(Struct, rename="camel"):
    model_rewrite: str
    weight: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None


class Rule(Struct):
    """Which models are rewritten, and to what."""

    targets: Annotated[list[_Target], Meta(min_length=1)]
    matches: list[_Match] | None = None


class _RewriteSpec(Struct, rename="camel"):
    rules: list[Rule] = []
    pool_ref: PoolRef = field(default_factory=PoolRef)


class InferenceModelRewrite(KubeObject, rename="camel"):
    """Which model is asked for in place of the client's."""

    spec: _RewriteSpec = field(default_factory=_RewriteSpec)


class _Resource(Struct):
    name: str = ""


class Resources(Struct):
    """What a group has, as its path says."""

    resources: list[_Resource] | None = None

    @property
    def names(self) -> set[str]:
        """Such as ``pods``."""
        return {one.name for one in self.resources or ()}


class ListMetadata(Struct, rename="camel"):
    """Where a list stands."""

    resource_version: str = ""
    continue_: str = field(name="continue", default="")


class ObjectList(Struct):
    """A list, its objects not yet read."""

    metadata: ListMetadata = field(default_factory=ListMetadata)
    items: list[msgspec.Raw] = []


class WatchEvent(Struct):
    """A line of a watch, its object not yet read."""

    type: str
    object: msgspec.Raw
