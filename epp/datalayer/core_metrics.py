"""``core-metrics-extractor``: the load that an engine's metrics page tells, whichever engine it is."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from epp.config import did_you_mean
from epp.datalayer.engine_config import EngineConfig, configured
from epp.datalayer.engines import (
    ENGINES,
    MAX_ADAPTERS_LABEL,
    PROCESS_START,
    RUNNING_ADAPTERS_LABEL,
    WAITING_ADAPTERS_LABEL,
    Engine,
    Specs,
)
from epp.datalayer.exposition import Layout, read_count, read_labels, read_number
from epp.plugin import Adapters, ConfigurationError, Endpoint, Load, PluginParams, Problem, Reading

ENGINE_LABELS = ("llm-d.ai/engine-type", "inference.networking.k8s.io/engine-type")
"""An endpoint's label that names its engine: current and old."""


class Params(PluginParams):
    """Names and defaults of the Go pickers."""

    engine_label_key: str | None = None
    """Label of an endpoint that names its engine; `ENGINE_LABELS` when left out."""
    default_engine: str = "vllm"
    """The engine that is tried first where no label names one."""
    engine_configs: list[EngineConfig] = msgspec.field(default_factory=list)
    """Engines that are not built in, or whose metrics have other names."""


class CoreMetricsExtractor:
    """Reads waiting, running, cache use, cache size and adapters.

    The engine is the one that the endpoint's label names, else the default; a page that has no queue of that engine is
    read as that of the first engine which has one. Series of data-parallel ranks are summed, cache use is their mean.
    """

    def __init__(self, params: Params) -> None:
        self._engines = {engine.name: engine for engine in ENGINES}
        for i, config in enumerate(params.engine_configs):
            self._engines[config.name] = configured(config, self._engines.get(config.name), i)
        if params.default_engine not in self._engines:
            hint = did_you_mean(params.default_engine, self._engines)
            message = f"no engine is named `{params.default_engine}`{hint}"
            raise ConfigurationError([Problem("defaultEngine", message)])
        self._default = params.default_engine
        self._label_keys = ENGINE_LABELS if params.engine_label_key is None else (params.engine_label_key,)
        self._last: dict[Endpoint, _LastPage] = {}

    def read_load(self, endpoint: Endpoint, page: bytes) -> Reading:
        """Return what the page says, and which of the engine's metrics it should have and has not."""
        last = self._last.get(endpoint)
        if last is None:
            last = self._last[endpoint] = _LastPage()
        named = next((endpoint.labels[key] for key in self._label_keys if key in endpoint.labels), self._default)
        expected = self._engines.get(named) or self._engines[self._default]
        is_as_before = last.layout.turn_to(page)
        if last.reading is None or last.engine is not expected or not is_as_before:
            last.engine, last.reading = expected, self._read(page, last.layout, expected)
        return last.reading

    def _read(self, page: bytes, layout: Layout, expected: Engine) -> Reading:
        reading = _PageOfEngine(page, layout, expected).read()
        if _has_queue(reading.load) or not (expected.waiting or expected.running):
            return reading
        others = (engine for engine in self._engines.values() if engine is not expected)
        readings = (_PageOfEngine(page, layout, engine).read() for engine in others)
        return next((other for other in readings if _has_queue(other.load)), reading)

    def on_endpoint_removed(self, endpoint: Endpoint) -> None:
        """Forget where its metrics stood."""
        self._last.pop(endpoint, None)


class _LastPage:
    """Where the metrics of an endpoint stood on its last page, and what they said."""

    def __init__(self) -> None:
        self.layout = Layout()
        self.engine: Engine | None = None
        self.reading: Reading | None = None


class _PageOfEngine:
    """One page, read under the names of one engine."""

    def __init__(self, page: bytes, layout: Layout, engine: Engine) -> None:
        self._page = page
        self._layout = layout
        self._engine = engine
        self._missing: list[str] = []

    def read(self) -> Reading:
        engine = self._engine
        waiting, running = self._expected(engine.waiting), self._expected(engine.running)
        ratios = self._expected(engine.kv_cache_ratio)
        block_sizes, block_counts, caching = self._cache_info()
        queried, hit = self._values(engine.prefix_queries), self._values(engine.prefix_hits)
        load = Load(
            waiting=_sum(waiting),
            running=_sum(running),
            kv_cache_ratio=min(1.0, sum(ratios) / len(ratios)) if ratios else None,
            block_size_tokens=block_sizes[0] if block_sizes else None,
            block_count=_sum(block_counts),
            prefix_caching=caching,
            prefix_queried_tokens=_sum(queried),
            prefix_hit_tokens=_sum(hit),
            started_at_s=self._started_at_s(),
            adapters=self._adapters(),
            custom=self._custom(),
        )
        # Any process has a start: without a metric of the engine's own it is the page of something else.
        is_engine = load != Load(started_at_s=load.started_at_s)
        return Reading(load=load if is_engine else Load(), missing=self._missing)

    def _values(self, specs: Specs, read: Callable[[bytes], float | None] = read_count) -> list[float]:
        """Return the usable values of the first metric that has any."""
        for spec in specs:
            group = self._layout.find(self._page, spec.name)
            texts = [text for _, text in group.with_labels(spec.labels)] if spec.labels else group.samples.values()
            values = [value for text in texts if (value := read(text)) is not None]
            if values:
                return values
        return []

    def _expected(self, specs: Specs) -> list[float]:
        """Return the same, and note as missing what has none."""
        values = self._values(specs)
        if specs and not values:
            self._missing.append(str(specs[0]))
        return values

    def _custom(self) -> Mapping[str, float]:
        """Return the sum of each metric that the configuration asks for; these may be below 0."""
        read = {key: self._values((spec,), read_number) for key, spec in self._engine.custom.items()}
        return {key: sum(values) for key, values in read.items() if values}

    def _cache_info(self) -> tuple[Sequence[int], Sequence[int], bool | None]:
        """Return block sizes and numbers of blocks, one for each data-parallel rank, and whether prefixes are kept."""
        engine = self._engine
        for spec in engine.cache_info:
            sets = [labels for labels, _ in self._layout.find(self._page, spec.name).with_labels(spec.labels)]
            if sets:
                caching = sets[0].get(engine.prefix_caching_label or b"")
                return (
                    _positive(sets, engine.block_size_label),
                    _positive(sets, engine.block_count_label),
                    caching.lower() == b"true" if caching else None,
                )
        if engine.cache_info:
            self._missing.append(str(engine.cache_info[0]))
        sizes, counts = self._expected(engine.block_size), self._expected(engine.block_count)
        return [int(size) for size in sizes], [int(count) for count in counts], None

    def _started_at_s(self) -> float | None:
        """Return when the process began; several on one page are several ranks, of which the newest counts."""
        texts = self._layout.find(self._page, PROCESS_START.name).samples.values()
        return max((at for text in texts if (at := read_count(text)) is not None), default=None)

    def _adapters(self) -> Adapters | None:
        """Return the adapters in use by the series with the greatest value, a time: vLLM leaves the old ones there."""
        newest: tuple[float, Mapping[bytes, bytes]] | None = None
        for spec in self._engine.adapters:
            for text, value in self._layout.find(self._page, spec.name).samples.items():
                at = read_count(value)
                if at is not None and (newest is None or at > newest[0]):
                    labels = read_labels(text)
                    if spec.labels.items() <= labels.items():
                        newest = at, labels
        if newest is None:
            return None
        found = newest[1]
        return Adapters(
            running=_names(found.get(RUNNING_ADAPTERS_LABEL)),
            waiting=_names(found.get(WAITING_ADAPTERS_LABEL)),
            max_loaded=next(iter(_positive([found], MAX_ADAPTERS_LABEL)), None),
        )


def _sum(values: Sequence[float]) -> int | None:
    return round(sum(values)) if values else None


def _has_queue(load: Load) -> bool:
    return load.waiting is not None or load.running is not None


def _positive(label_sets: Sequence[Mapping[bytes, bytes]], label: bytes) -> list[int]:
    """Return the label's values that are positive integers; vLLM writes ``None`` for what it does not know yet."""
    numbers = (read_count(labels.get(label, b"")) for labels in label_sets)
    return [int(number) for number in numbers if number and number >= 1]


def _names(text: bytes | None) -> frozenset[str]:
    """Return the names of a comma-separated list."""
    return frozenset(name for part in (text or b"").decode(errors="replace").split(",") if (name := part.strip()))
