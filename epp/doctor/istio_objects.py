"""What the doctor reads of Istio's objects; a field that is missing is empty."""

import msgspec
from msgspec import Struct, field

from epp.kube.objects import KubeObject


class Tls(Struct, rename="camel"):
    """How Istio speaks TLS."""

    mode: str = "DISABLE"
    insecure_skip_verify: bool = False


class _PortNumber(Struct):
    number: int = 0


class _PortPolicy(Struct):
    port: _PortNumber | None = None
    tls: Tls | None = None


class _TrafficPolicy(Struct, rename="camel"):
    tls: Tls | None = None
    port_level_settings: list[_PortPolicy] | None = None


class _DestinationRuleSpec(Struct, rename="camel"):
    host: str = ""
    traffic_policy: _TrafficPolicy | None = None


class DestinationRule(KubeObject):
    """How Istio speaks to a Service."""

    spec: _DestinationRuleSpec = field(default_factory=_DestinationRuleSpec)

    def tls(self, port: int) -> Tls:
        """Return what it says for a port of the Service; where it names the port, nothing else of it counts."""
        policy = self.spec.traffic_policy or _TrafficPolicy()
        for one in policy.port_level_settings or ():
            if one.port is not None and one.port.number == port:
                return one.tls or Tls()
        return policy.tls or Tls()


class EnvoyFilter(KubeObject):
    """Istio's patch of an Envoy, not looked into."""

    spec: msgspec.Raw = msgspec.Raw(b"{}")
