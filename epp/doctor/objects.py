"""What the doctor reads of objects that the picker itself never looks at; a field that is missing is empty."""

import itertools
from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from epp.kube.objects import Condition, KubeObject, Pod
from epp.settings import Settings

DEFAULT_PICKER_PORT = Settings().grpc_port
POOL_KIND = "InferencePool"


class ObjectRef(Struct, rename="camel"):
    """A reference from one object to another."""

    name: str = ""
    namespace: str | None = None
    kind: str | None = None
    group: str | None = None


class ParentStatus(Struct, rename="camel"):
    """What one controller thinks."""

    parent_ref: ObjectRef = field(default_factory=ObjectRef)
    controller_name: str = ""
    conditions: list[Condition] | None = None

    def condition(self, kind: str) -> Condition | None:
        """Return the condition of a type."""
        return next((one for one in self.conditions or () if one.type == kind), None)


class _PortRef(Struct):
    number: int = DEFAULT_PICKER_PORT


class PickerRef(Struct, rename="camel"):
    """``endpointPickerRef`` of v1, ``extensionRef`` of v1alpha2."""

    name: str = ""
    kind: str = "Service"
    port: _PortRef | None = None
    port_number: int | None = None
    failure_mode: str = "FailClose"

    @property
    def number(self) -> int:
        """Port of the Service."""
        if self.port is not None:
            return self.port.number
        return DEFAULT_PICKER_PORT if self.port_number is None else self.port_number


class _PoolSpec(Struct, rename="camel"):
    endpoint_picker_ref: PickerRef | None = None
    app_protocol: str = "http"
    extension_ref: PickerRef | None = None


class _PoolStatus(Struct):
    parents: list[ParentStatus] | None = None
    parent: list[ParentStatus] | None = None


class PoolRest(KubeObject, rename="camel"):
    """Of an InferencePool what is for gateways, in whichever version."""

    spec: _PoolSpec = field(default_factory=_PoolSpec)
    status: _PoolStatus = field(default_factory=_PoolStatus)

    @property
    def picker_ref(self) -> PickerRef | None:
        """The picker's Service."""
        return self.spec.endpoint_picker_ref or self.spec.extension_ref

    @property
    def parents(self) -> Sequence[ParentStatus]:
        """What gateways say; v1alpha2 has a parent of kind ``Status`` as long as there is none."""
        return [
            one for one in self.status.parents or self.status.parent or () if one.parent_ref.kind in (None, "Gateway")
        ]


class ServicePort(Struct, rename="camel"):
    """A port of a Service."""

    port: int = 0
    name: str | None = None
    target_port: int | str | None = None
    app_protocol: str | None = None


class _ServiceSpec(Struct, rename="camel"):
    type: str = "ClusterIP"
    selector: dict[str, str] | None = None
    ports: list[ServicePort] | None = None


class Service(KubeObject, rename="camel"):
    """A Service."""

    spec: _ServiceSpec = field(default_factory=_ServiceSpec)


class _ContainerPort(Struct, rename="camel"):
    container_port: int = 0
    name: str | None = None


class Container(Struct, rename="camel"):
    """A container of a pod."""

    args: list[str] | None = None
    command: list[str] | None = None
    ports: list[_ContainerPort] | None = None


class PodSpec(Struct, rename="camel"):
    """How a pod is started."""

    service_account_name: str = "default"
    containers: list[Container] | None = None

    def flag(self, name: str) -> str | None:
        """Return what a program was told last by ``--name=value`` or ``--name value``; empty for a flag alone."""
        said: str | None = None
        words = [word for one in self.containers or () for word in [*(one.command or ()), *(one.args or ())]]
        for word, after in itertools.pairwise([*words, "-"]):
            flag, equals, value = word.partition("=")
            if flag.startswith("-") and flag.lstrip("-") == name:
                said = value if equals else "" if after.startswith("-") else after
        return said

    def is_on(self, name: str, *, default: bool = False) -> bool:
        """Tell whether a flag is set, as the pickers read them."""
        said = self.flag(name)
        return default if said is None else said.lower() not in ("false", "f", "0", "no", "n", "off")

    def port(self, name: str, default: int) -> int:
        """Return the number that a flag gives a port."""
        said = self.flag(name) or ""
        return int(said) if said.isdecimal() else default

    @property
    def ports(self) -> Mapping[int, str | None]:
        """Ports that containers say they have, with their names."""
        return {port.container_port: port.name for one in self.containers or () for port in one.ports or ()}


class FullPod(Pod, rename="camel"):
    """A pod, and how it is started."""

    spec: PodSpec = field(default_factory=PodSpec)


class _TemplateLabels(Struct):
    labels: dict[str, str] | None = None


class _PodTemplate(Struct):
    metadata: _TemplateLabels = field(default_factory=_TemplateLabels)
    spec: PodSpec = field(default_factory=PodSpec)


class _DeploymentSpec(Struct):
    replicas: int | None = None
    template: _PodTemplate = field(default_factory=_PodTemplate)


class Deployment(KubeObject):
    """A Deployment."""

    spec: _DeploymentSpec = field(default_factory=_DeploymentSpec)


class BackendRef(ObjectRef):
    """Where a rule of a route leads."""

    def leads_to(self, group: str, namespace: str, name: str, *, route_namespace: str) -> bool:
        """Tell whether it is this pool."""
        return ((self.kind, self.group, self.name) == (POOL_KIND, group, name)) and (
            self.namespace or route_namespace
        ) == namespace


class ValueMatch(Struct):
    """A condition on a path, or on a header."""

    type: str | None = None
    name: str = ""
    value: str = ""


class RouteMatch(Struct):
    """A condition on requests."""

    path: ValueMatch | None = None
    headers: list[ValueMatch] | None = None


class _RouteRule(Struct, rename="camel"):
    backend_refs: list[BackendRef] | None = None
    matches: list[RouteMatch] | None = None


class ParentRef(ObjectRef, rename="camel"):
    """The Gateway that a route attaches to, and where."""

    section_name: str | None = None
    port: int | None = None


class _RouteSpec(Struct, rename="camel"):
    parent_refs: list[ParentRef] | None = None
    hostnames: list[str] | None = None
    rules: list[_RouteRule] | None = None


class _RouteStatus(Struct):
    parents: list[ParentStatus] | None = None


class HTTPRoute(KubeObject):
    """An HTTPRoute."""

    spec: _RouteSpec = field(default_factory=_RouteSpec)
    status: _RouteStatus = field(default_factory=_RouteStatus)

    @property
    def backends(self) -> Sequence[BackendRef]:
        """Where all its rules lead."""
        return [ref for rule in self.spec.rules or () for ref in rule.backend_refs or ()]

    @property
    def parents(self) -> Sequence[ParentRef]:
        """Where it attaches to Gateways."""
        return [ref for ref in self.spec.parent_refs or () if ref.kind in (None, "Gateway")]

    @property
    def gateways(self) -> Sequence[tuple[str, str]]:
        """Namespace and name of the Gateways that it attaches to."""
        return [(ref.namespace or self.metadata.namespace, ref.name) for ref in self.parents]


class _Address(Struct):
    value: str = ""


class Listener(Struct):
    """A port of a Gateway."""

    port: int = 80
    protocol: str = "HTTP"
    name: str = ""
    hostname: str | None = None


class _GatewaySpec(Struct, rename="camel"):
    gateway_class_name: str = ""
    listeners: list[Listener] | None = None


class _GatewayStatus(Struct):
    addresses: list[_Address] | None = None
    conditions: list[Condition] | None = None


class Gateway(KubeObject):
    """A Gateway."""

    spec: _GatewaySpec = field(default_factory=_GatewaySpec)
    status: _GatewayStatus = field(default_factory=_GatewayStatus)


def place(one: KubeObject) -> str:
    """Return ``namespace/name``."""
    return f"{one.metadata.namespace}/{one.metadata.name}"
