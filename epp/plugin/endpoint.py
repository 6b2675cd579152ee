"""Endpoints: the model servers that requests are routed to, and their load."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSpec:
    """Who an endpoint is, as a discovery source gives it. With the same name, address and port it is the same one."""

    name: str
    namespace: str = "default"
    address: str
    """An IP address, version 4 or 6, without brackets: Envoy routes to addresses, not to host names."""
    port: int
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """``namespace/name``, unique in the pool."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One endpoint's numbers. ``None``: its metrics page does not say."""

    waiting: int | None = None
    """Requests in the engine's queue, not yet running."""
    running: int | None = None
    """Requests in the engine's running batch."""
    kv_cache_ratio: float | None = None
    """Share of the KV cache in use, 0..1."""
    block_size_tokens: int | None = None
    """Tokens in one block of the engine's prefix cache."""
    block_count: int | None = None
    """Blocks that the engine's KV cache holds."""


UNKNOWN_LOAD = Load()


@dataclass(frozen=True, slots=True, kw_only=True)
class InFlight:
    """What this picker has sent to an endpoint, and what has not ended yet."""

    requests: int = 0
    unstarted: int = 0
    """Those of them without a first byte of their answer."""
    uncached_tokens: int = 0
    """Prompt tokens of the unstarted ones that were not expected in the endpoint's cache."""


NOTHING_IN_FLIGHT = InFlight()


class Endpoint:
    """One routable model server. Lives as long as its spec stays in the pool; its load changes under it.

    ``load`` is what it has to do now: its last metrics page, corrected by what this picker has sent there since;
    ``scraped`` is the page as it was, ``in_flight`` what this picker knows by itself.

    Compared and hashed by identity: an endpoint that left and came back under the same name is another one.
    """

    __slots__ = (
        "avoided_until_s",
        "ejections",
        "has_left",
        "host_port",
        "in_flight",
        "key",
        "load",
        "ready",
        "scraped",
        "spec",
    )

    def __init__(self, spec: EndpointSpec, *, load: Load = UNKNOWN_LOAD, ready: bool = False) -> None:
        self.spec = spec
        self.key = spec.key
        self.host_port = _host_port(spec)
        self.load = load
        self.scraped = load
        self.in_flight = NOTHING_IN_FLIGHT
        self.ready = ready
        self.has_left = False
        self.avoided_until_s = 0.0
        self.ejections = 0

    @property
    def name(self) -> str:
        """The endpoint's name inside its namespace."""
        return self.spec.name

    @property
    def address(self) -> str:
        """Its IP address, without brackets."""
        return self.spec.address

    @property
    def port(self) -> int:
        """The port that it serves on."""
        return self.spec.port

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels that discovery gave it."""
        return self.spec.labels

    def __repr__(self) -> str:
        return f"Endpoint({self.key}, {self.host_port})"


def _host_port(spec: EndpointSpec) -> str:
    """``ip:port`` as gateways want it: IPv6 in brackets."""
    return f"[{spec.address}]:{spec.port}" if ":" in spec.address else f"{spec.address}:{spec.port}"
