"""A plugin's own metrics."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

ReadEach = Callable[[], Iterable[tuple[str, float]]]
"""Returns a label's values, each with the gauge's."""
M = TypeVar("M", bound=MetricWrapperBase)


class PluginMetrics:
    """Metrics with a label ``plugin`` that is already set: several plugins of one type share a metric.

    Ask once, in the constructor, and keep what you get: looking a label up costs more than counting.
    """

    def __init__(self, registry: CollectorRegistry, plugin: str, families: dict[str, Collector] | None = None) -> None:
        self.registry = registry
        self._plugin = plugin
        self._families = {} if families is None else families
        """Shared by all plugins of a picker: metric name -> the metric, not yet bound to a plugin."""

    def forget(self) -> None:
        """Export nothing of this plugin any more: it is no longer configured."""
        for family in self._families.values():
            if isinstance(family, _GaugeForEach):
                family.reads.pop(self._plugin, None)
            elif isinstance(family, MetricWrapperBase):
                with contextlib.suppress(KeyError):
                    family.remove(self._plugin)

    def counter(self, name: str, doc: str) -> Counter:
        """Return the counter of this name for this plugin."""
        return self._bound(Counter, name, doc)

    def gauge(self, name: str, doc: str) -> Gauge:
        """Return the gauge of this name for this plugin."""
        return self._bound(Gauge, name, doc)

    def histogram(self, name: str, doc: str) -> Histogram:
        """Return the histogram of this name for this plugin, with the default buckets for seconds."""
        return self._bound(Histogram, name, doc)

    def gauge_for_each(self, name: str, doc: str, *, label: str, read: ReadEach) -> None:
        """Export a gauge for each value of a label, such as an endpoint's key, read when the metrics are collected."""
        family = self._families.get(name)
        if family is None:
            family = self._families[name] = _GaugeForEach(name, doc, label)
            self.registry.register(family)
        if not isinstance(family, _GaugeForEach) or family.label != label:
            raise _taken(name, family)
        family.reads[self._plugin] = read

    def _bound(self, kind: type[M], name: str, doc: str) -> M:
        family = self._families.get(name)
        if family is None:
            family = self._families[name] = kind(name, doc, ["plugin"], registry=self.registry)
        if not isinstance(family, kind):
            raise _taken(name, family)
        return family.labels(self._plugin)


def copies(families: Mapping[str, Collector], registry: CollectorRegistry) -> dict[str, Collector]:
    """Return metrics of the same names and kinds, without a value, registered elsewhere."""
    copied: dict[str, Collector] = {}
    for name, family in families.items():
        if isinstance(family, _GaugeForEach):
            copied[name] = _GaugeForEach(name, "", family.label)
            registry.register(copied[name])
        elif isinstance(family, MetricWrapperBase):
            copied[name] = type(family)(name, "", ["plugin"], registry=registry)
    return copied


def _taken(name: str, family: Collector) -> ValueError:
    kind = f"one for each {family.label}" if isinstance(family, _GaugeForEach) else type(family).__name__
    return ValueError(f"the metric `{name}` is there already, as {kind}; it stays until a restart")


class _GaugeForEach(Collector):
    """One family of gauges, of all plugins that export it."""

    def __init__(self, name: str, doc: str, label: str) -> None:
        self._name, self._doc, self.label = name, doc, label
        self.reads: dict[str, ReadEach] = {}
        """By plugin."""

    def collect(self) -> Iterator[Metric]:
        """Yield the family."""
        family = GaugeMetricFamily(self._name, self._doc, labels=["plugin", self.label])
        for plugin, read in self.reads.items():
            for value, number in read():
                family.add_metric([plugin, value], number)
        yield family
