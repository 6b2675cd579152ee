"""Parameters of ``precise-prefix-cache-producer``, under the names that the Go pickers have for them."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from epp.plugin import PluginParams
from epp_plugins.producers import approx_prefix_cache

Port = Annotated[int, Meta(ge=1, le=65_535)]
Count = Annotated[int, Meta(ge=1)]


class TokenProcessorConfig(PluginParams):
    """How tokens become blocks."""

    block_size_tokens: Count = 16
    """Size of blocks until an engine says what its own is."""
    hash_seed: str = ""
    """Accepted for files of the Go pickers, like ``hash_algorithm``: hashes do not leave this process."""
    hash_algorithm: str = ""


class InMemoryConfig(PluginParams):
    """The index' bounds."""

    size: Count = 4_000_000
    """Most (block, endpoint) entries; the Go pickers count keys, and say 100,000,000."""
    pod_cache_size: Count | None = None
    """Accepted for files of the Go pickers: here any number of endpoints can have a block."""


class KvBlockIndexConfig(PluginParams):
    """Where the index is: in memory."""

    in_memory_config: InMemoryConfig = msgspec.field(default_factory=InMemoryConfig)
    enable_metrics: bool = True
    """Accepted for files of the Go pickers; metrics are always there."""


class IndexerConfig(PluginParams):
    """The index."""

    kv_block_index_config: KvBlockIndexConfig = msgspec.field(default_factory=KvBlockIndexConfig)


class PodDiscoveryConfig(PluginParams):
    """Where engines publish."""

    socket_port: Port = 5557
    """Port for events; a data-parallel rank, named in an endpoint's name like ``-rank-1``, adds its number."""
    replay_socket_port: Port | None = None
    """Port to ask for lost events, and for those before the picker began; nothing is asked when left out."""
    pod_label_selector: str | None = None
    """Accepted for files of the Go pickers; the endpoints of the pool are listened to."""


class KvEventsConfig(PluginParams):
    """The engines' events."""

    topic_filter: str = ""
    """What their topics begin with; the Go pickers say ``kv@``, engines themselves nothing."""
    engine_type: Literal["vllm", "sglang"] = "vllm"
    """Accepted for files of the Go pickers; both write alike."""
    discover_pods: bool = True
    """Engines are listened to at their own sockets; that they connect to the picker is not supported."""
    pod_discovery_config: PodDiscoveryConfig = msgspec.field(default_factory=PodDiscoveryConfig)
    concurrency: Count | None = None
    """Accepted for files of the Go pickers, like ``zmq_endpoint``: there are no workers here."""
    zmq_endpoint: str | None = None


class Params(PluginParams):
    """Names of the Go pickers."""

    token_processor_config: TokenProcessorConfig = msgspec.field(default_factory=TokenProcessorConfig)
    indexer_config: IndexerConfig = msgspec.field(default_factory=IndexerConfig)
    kv_events_config: KvEventsConfig = msgspec.field(default_factory=KvEventsConfig)
    approximate: approx_prefix_cache.Params = msgspec.field(default_factory=approx_prefix_cache.Params)
    """Of the approximate index that is kept beside; as those of `approx-prefix-cache-producer`."""
    speculative_indexing: bool = True
    """Accepted for files of the Go pickers, like ``speculative_ttl``: blocks of a request count until it is over."""
    speculative_ttl: str | None = msgspec.field(default=None, name="speculativeTTL")
