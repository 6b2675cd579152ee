"""Under which names engines export the numbers that matter. Data, not code.

The names are those of the engines' own metrics pages; where one was renamed, the tuple has the new name first.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_SPEC = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?")
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*(?:"([^"]*)"|([^",{}]*?))\s*')


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric, or those of its series that have all these labels."""

    name: bytes
    labels: Mapping[bytes, bytes] = field(default_factory=dict)

    def __str__(self) -> str:
        labels = ",".join(f"{key.decode()}={value.decode()}" for key, value in self.labels.items())
        return self.name.decode() + (f"{{{labels}}}" if labels else "")


def parse_spec(text: str) -> MetricSpec:
    """Return what ``name`` or ``name{label=value,...}`` means; raises `ValueError` for anything else."""
    match = _SPEC.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"`{text}` is no metric; write it like name or name{{label=value}}")
    labels = {}
    for part in (match[2] or "").split(",") if match[2] else ():
        label = _LABEL.fullmatch(part)
        if label is None:
            raise ValueError(f"`{part}` in `{text}` is no label; write it like label=value")
        labels[label[1].encode()] = (label[2] if label[2] is not None else label[3]).encode()
    return MetricSpec(match[1].encode(), labels)


Specs = tuple[MetricSpec, ...]
"""The first of them that a page has is read; empty: the engine does not export it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """The metrics of one engine."""

    name: str
    waiting: Specs = ()
    running: Specs = ()
    kv_cache_ratio: Specs = ()
    adapters: Specs = ()
    """A series for each change of the LoRA adapters in use, with the three labels below."""
    cache_info: Specs = ()
    """A series whose labels carry the block size and the number of blocks."""
    block_size_label: bytes = b"block_size"
    block_count_label: bytes = b"num_gpu_blocks"
    block_size: Specs = ()
    """The block size as a value of its own, for engines without `cache_info`."""
    block_count: Specs = ()
    prefix_caching_label: bytes | None = None
    """Label of `cache_info` that is ``True`` or ``False``."""
    prefix_queries: Specs = ()
    """Counter of prompt tokens looked up in the prefix cache."""
    prefix_hits: Specs = ()
    """Counter of those that were there."""
    custom: Mapping[str, MetricSpec] = field(default_factory=dict)
    """Attribute name -> the metric that it is read from."""


PROCESS_START = parse_spec("process_start_time_seconds")
"""Of whatever process serves the page, in seconds since the epoch; engines of several processes may not have it."""
RUNNING_ADAPTERS_LABEL = b"running_lora_adapters"
WAITING_ADAPTERS_LABEL = b"waiting_lora_adapters"
MAX_ADAPTERS_LABEL = b"max_lora"
"""vLLM's labels of the adapters in use: two lists with commas, and how many can be loaded."""


def _specs(*texts: str) -> Specs:
    return tuple(parse_spec(text) for text in texts)


ENGINES: tuple[Engine, ...] = (
    Engine(
        name="vllm",
        waiting=_specs("vllm:num_requests_waiting"),
        running=_specs("vllm:num_requests_running"),
        # Renamed in vLLM 0.10; both are in the field.
        kv_cache_ratio=_specs("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
        adapters=_specs("vllm:lora_requests_info"),
        cache_info=_specs("vllm:cache_config_info"),
        prefix_caching_label=b"enable_prefix_caching",
        prefix_queries=_specs("vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total"),
        prefix_hits=_specs("vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total"),
    ),
    Engine(
        name="sglang",
        waiting=_specs("sglang:num_queue_reqs"),
        running=_specs("sglang:num_running_reqs"),
        kv_cache_ratio=_specs("sglang:token_usage"),
        cache_info=_specs("sglang:cache_config_info"),
        block_size_label=b"page_size",
        block_count_label=b"num_pages",
    ),
    Engine(
        name="trtllm-serve",
        waiting=_specs("trtllm_num_requests_waiting"),
        running=_specs("trtllm_num_requests_running"),
        kv_cache_ratio=_specs("trtllm_kv_cache_utilization"),
        block_size=_specs("trtllm_kv_cache_tokens_per_block"),
        block_count=_specs("trtllm_kv_cache_max_blocks"),
    ),
    Engine(
        name="triton-tensorrt-llm",
        waiting=_specs("nv_trt_llm_request_metrics{request_type=waiting}"),
        running=_specs("nv_trt_llm_request_metrics{request_type=scheduled}"),
        kv_cache_ratio=_specs("nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=fraction}"),
        block_size=_specs("nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=tokens_per}"),
        block_count=_specs("nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=max}"),
    ),
    Engine(
        name="triton",
        # Its `nv_inference_exec_count` counts what was ever executed, so it does not tell what is running.
        waiting=_specs("nv_inference_pending_request_count"),
    ),
)
