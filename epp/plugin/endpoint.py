"""Endpoints: the model servers that requests are routed to, and their load."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import msgspec
from msgspec import Struct


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSpec:
    """Who an endpoint is, as a discovery source gives it. With the same name, address, port and UID it is the same."""

    name: str
    namespace: str = "default"
    uid: str = ""
    """Tells two apart that were there one after the other under one name and address; a pod's UID."""
    address: str
    """An IP address, version 4 or 6, without brackets: Envoy routes to addresses, not to host names."""
    port: int
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """``namespace/name``, unique in the pool."""
        return f"{self.namespace}/{self.name}"


_NOTHING: Mapping[str, float] = MappingProxyType({})


def _nothing() -> Mapping[str, float]:
    return _NOTHING


class Adapters(Struct, frozen=True, kw_only=True):
    """The LoRA adapters that an engine has at work."""

    running: frozenset[str] = frozenset()
    waiting: frozenset[str] = frozenset()
    max_loaded: int | None = None
    """How many can be loaded at a time."""


class Load(Struct, frozen=True, gc=False, kw_only=True):
    """One endpoint's numbers. ``None``: its metrics page does not say.

    In `Endpoint.load` the requests that wait and run are always known: what a page does not say of others' is taken
    for what is typical for the pool.
    """

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
    adapters: Adapters | None = None
    started_at_s: float | None = None
    """When the engine's process began, in seconds since the epoch."""
    prefix_caching: bool | None = None
    """Whether the engine keeps prefixes."""
    prefix_queried_tokens: int | None = None
    """Prompt tokens that the engine has looked up in its prefix cache since it began."""
    prefix_hit_tokens: int | None = None
    """Those of them that were there."""
    custom: Mapping[str, float] = msgspec.field(default_factory=_nothing)
    """Further metrics that the configuration asks for, by the name that it gives them."""


UNKNOWN_LOAD = Load()


class InFlight(Struct, frozen=True, gc=False, kw_only=True):
    """What this picker has sent to an endpoint, and what has not ended yet."""

    requests: int = 0
    unstarted: int = 0
    """Those of them without a first byte of their answer."""
    uncached_tokens: int = 0
    """Prompt tokens of the unstarted ones that were not expected in the endpoint's cache."""
    estimated_tokens: int = 0
    """Where output is estimated (`OutputEstimate`): that of all requests, and uncached prompts of the started ones."""

    @property
    def tokens(self) -> int:
        """All that is to be computed, as far as it is known."""
        return self.uncached_tokens + self.estimated_tokens


NOTHING_IN_FLIGHT = InFlight()


WARM_UP_S = 20.0
"""How long the share of requests grows of an endpoint that is new, or was avoided."""


class Settling:
    """When the last of a pool's endpoints is warm: until then each of them has to be looked at."""

    __slots__ = ("until_s",)

    def __init__(self, until_s: float = math.inf) -> None:
        """Take when that is at first; where nobody says so afterwards, each has to be looked at always."""
        self.until_s = until_s

    def lasts(self, until_s: float) -> None:
        """Take note that one is not warm before."""
        self.until_s = max(self.until_s, until_s)


class Endpoint:
    """One routable model server. Lives as long as its spec stays in the pool; its load changes under it.

    ``load`` is what it has to do now: its last metrics page, corrected by what this picker has sent there since;
    ``scraped`` is the page as it was, ``in_flight`` what this picker knows by itself.

    It is avoided until ``avoided_until_s``, for its failures, and has its share of requests grow until ``warm_at_s``;
    both are moments of the picker's clock, and the second is never before the first.

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
        "warm_at_s",
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
        self.warm_at_s = 0.0
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
