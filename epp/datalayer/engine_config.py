"""Engines that the configuration describes, for `epp.datalayer.core_metrics`."""

import dataclasses
from typing import Any

import msgspec

from epp.datalayer.engines import Engine, Specs, parse_spec
from epp.plugin import ConfigurationError, PluginParams, Problem


class CustomMetric(PluginParams):
    """A metric that plugins read as an attribute of the endpoint."""

    attribute_key: str
    """Name of the attribute, in `Load.custom`."""
    metric_spec: str
    """The metric, as ``name`` or ``name{label=value}``; its series are summed."""


class EngineConfig(PluginParams):
    """Names of one engine's metrics, each as ``name`` or ``name{label=value}``."""

    name: str
    """The engine; what is left out of one that is built in stays as it is there."""
    queued_requests_spec: str | None = None
    """Waiting requests."""
    running_requests_spec: str | None = None
    """Requests in the running batch."""
    kv_usage_spec: str | None = None
    """Share of the KV cache in use, 0..1."""
    lora_spec: str | None = None
    """LoRA adapters in use, in labels named as vLLM's."""
    cache_info_spec: str | None = None
    """A metric whose labels tell block size and number of blocks."""
    cache_block_size_label_name: str | None = None
    """The label with the block size, in tokens."""
    cache_num_blocks_label_name: str | None = None
    """The label with the number of blocks."""
    cache_block_size_spec: str | None = None
    """Block size as a value, in tokens."""
    cache_num_blocks_spec: str | None = None
    """Number of blocks as a value."""
    custom_metrics: list[CustomMetric] = msgspec.field(default_factory=list)
    """More metrics to read."""


def configured(config: EngineConfig, known: Engine | None, place: int) -> Engine:
    """Return the engine of the configuration; raises `ConfigurationError` for specs that cannot be read."""
    problems: list[Problem] = []
    path = f"engineConfigs[{place}]"

    def spec(text: str, key: str) -> Specs:
        try:
            return (parse_spec(text),)
        except ValueError as error:
            problems.append(Problem(f"{path}.{key}", str(error)))
            return ()

    texts = {
        "waiting": (config.queued_requests_spec, "queuedRequestsSpec"),
        "running": (config.running_requests_spec, "runningRequestsSpec"),
        "kv_cache_ratio": (config.kv_usage_spec, "kvUsageSpec"),
        "adapters": (config.lora_spec, "loraSpec"),
        "cache_info": (config.cache_info_spec, "cacheInfoSpec"),
        "block_size": (config.cache_block_size_spec, "cacheBlockSizeSpec"),
        "block_count": (config.cache_num_blocks_spec, "cacheNumBlocksSpec"),
    }
    changes: dict[str, Any] = {name: spec(text, key) for name, (text, key) in texts.items() if text is not None}
    if config.cache_block_size_label_name is not None:
        changes["block_size_label"] = config.cache_block_size_label_name.encode()
    if config.cache_num_blocks_label_name is not None:
        changes["block_count_label"] = config.cache_num_blocks_label_name.encode()
    custom = {
        metric.attribute_key: one
        for i, metric in enumerate(config.custom_metrics)
        for one in spec(metric.metric_spec, f"customMetrics[{i}].metricSpec")
    }
    if problems:
        raise ConfigurationError(problems)
    return dataclasses.replace(known or Engine(name=config.name), custom=custom, **changes)
