"""A plugin's own metrics."""

from collections.abc import Callable
from typing import TypeVar, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

M = TypeVar("M", bound=MetricWrapperBase)


class PluginMetrics:
    """Metrics with a label ``plugin`` that is already set: several plugins of one type share a metric.

    Ask once, in the constructor, and keep what you get: looking a label up costs more than counting.
    """

    def __init__(
        self, registry: CollectorRegistry, plugin: str, families: dict[str, MetricWrapperBase] | None = None
    ) -> None:
        self.registry = registry
        self._plugin = plugin
        self._families = {} if families is None else families
        """Shared by all plugins of a picker: metric name -> the metric, not yet bound to a plugin."""

    def counter(self, name: str, doc: str) -> Counter:
        """Return the counter of this name for this plugin."""
        return self._bound(Counter, name, doc)

    def gauge(self, name: str, doc: str) -> Gauge:
        """Return the gauge of this name for this plugin."""
        return self._bound(Gauge, name, doc)

    def histogram(self, name: str, doc: str) -> Histogram:
        """Return the histogram of this name for this plugin, with the default buckets for seconds."""
        return self._bound(Histogram, name, doc)

    def _bound(self, kind: Callable[..., M], name: str, doc: str) -> M:
        if name not in self._families:
            self._families[name] = kind(name, doc, ["plugin"], registry=self.registry)
        return cast("M", self._families[name].labels(self._plugin))
