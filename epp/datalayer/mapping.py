"""Under which names engines export the numbers that matter. Data, not code."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineMetrics:
    """Metric names of one engine; the first name of each tuple that a page has is used."""

    waiting: tuple[bytes, ...]
    running: tuple[bytes, ...]
    kv_cache_ratio: tuple[bytes, ...]
    cache_info: tuple[bytes, ...]
    """A series whose labels carry the block size and the number of blocks."""
    block_size_label: bytes
    block_count_label: bytes


VLLM = EngineMetrics(
    waiting=(b"vllm:num_requests_waiting",),
    running=(b"vllm:num_requests_running",),
    # Renamed in vLLM 0.10; both are in the field.
    kv_cache_ratio=(b"vllm:kv_cache_usage_perc", b"vllm:gpu_cache_usage_perc"),
    cache_info=(b"vllm:cache_config_info",),
    block_size_label=b"block_size",
    block_count_label=b"num_gpu_blocks",
)
