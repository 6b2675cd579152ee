"""The engine's numbers as a metrics page under vLLM's names."""

import datetime as dt
from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from epp.simulator.engine import Engine


def make_registry(engine: Engine, model: str) -> CollectorRegistry:
    """Return a registry whose page is read from the engine when it is asked for."""
    registry = CollectorRegistry()
    registry.register(_EngineCollector(engine, model))
    return registry


class _EngineCollector(Collector):
    def __init__(self, engine: Engine, model: str) -> None:
        self._engine = engine
        self._labels = ("engine", "model_name")
        self._values = ("0", model)
        self._started_at = dt.datetime.now(dt.UTC).timestamp()

    def collect(self) -> Iterator[Metric]:
        """Yield the families that a picker or a benchmark reads."""
        engine, settings, counters = self._engine, self._engine.settings, self._engine.counters
        yield self._gauge("num_requests_running", "Requests in the running batch.", engine.running)
        yield self._gauge("num_requests_waiting", "Requests waiting to run.", engine.waiting)
        yield self._gauge("kv_cache_usage_perc", "KV cache in use, 1 is all of it.", engine.kv_cache_ratio)
        yield self._counter("prefix_cache_queries", "Prompt tokens looked up.", counters.prompt_tokens)
        yield self._counter("prefix_cache_hits", "Prompt tokens found in the cache.", counters.cached_tokens)
        yield self._counter("prompt_tokens", "Prompt tokens.", counters.prompt_tokens)
        yield self._counter("generation_tokens", "Output tokens.", counters.output_tokens)
        yield self._counter("request_success", "Finished requests.", counters.finished)
        info = GaugeMetricFamily(
            "vllm:cache_config_info", "Cache configuration.", labels=("block_size", "engine", "num_gpu_blocks")
        )
        info.add_metric((str(settings.block_size_tokens), "0", str(settings.block_count)), 1)
        yield info
        yield GaugeMetricFamily("process_start_time_seconds", "Start, since the epoch.", value=self._started_at)

    def _gauge(self, name: str, doc: str, value: float) -> Metric:
        family = GaugeMetricFamily(f"vllm:{name}", doc, labels=self._labels)
        family.add_metric(self._values, value)
        return family

    def _counter(self, name: str, doc: str, value: float) -> Metric:
        family = CounterMetricFamily(f"vllm:{name}", doc, labels=self._labels)
        family.add_metric(self._values, value)
        return family
