"""A plugin's own metrics."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

ReadEach = Callable[[], Iterable[tuple[str, float]]]
"""Returns a label's values, each with the gauge's."""
M = TypeVar("M", bound=MetricWrapperBase)
T = TypeVar("T")


class PluginMetrics:
    """Metrics with a label ``plugin`` that is already set: several plugins of one type share a metric.

    Ask once, in the constructor, and keep what you get.
    """

    def __init__(
        self, registry: CollectorRegistry, plugin: str, families: "dict[str, Family[Any]] | None" = None
    ) -> None:
        self.registry = registry
        self._plugin = plugin
        self._families = {} if families is None else families
        """Shared by all plugins of a picker, by the metric's name."""

    def forget(self) -> None:
        """Export nothing of this plugin any more, whatever it goes on counting: it is no longer configured."""
        for family in self._families.values():
            family.by_plugin.pop(self._plugin, None)

    def counter(self, name: str, doc: str) -> Counter:
        """Return the counter of this name for this plugin."""
        return self._one(Counter, name, doc)

    def gauge(self, name: str, doc: str) -> Gauge:
        """Return the gauge of this name for this plugin."""
        return self._one(Gauge, name, doc)

    def histogram(self, name: str, doc: str) -> Histogram:
        """Return the histogram of this name for this plugin, with the default buckets for seconds."""
        return self._one(Histogram, name, doc)

    def gauge_for_each(self, name: str, doc: str, *, label: str, read: ReadEach) -> None:
        """Export a gauge for each value of a label, such as an endpoint's key, read when the metrics are collected."""
        family = self._family(_GaugeForEach(name, doc, label))
        family.by_plugin[self._plugin] = read

    def _one(self, kind: type[M], name: str, doc: str) -> M:
        family = self._family(_OneEach(kind, name, doc))
        metric: M | None = family.by_plugin.get(self._plugin)
        if metric is None:
            metric = family.by_plugin[self._plugin] = kind(name, doc, registry=None)
        return metric

    def _family(self, wanted: "Family[T]") -> "Family[T]":
        """Return the family of this name, the one given where there was none; raises `ValueError` for another kind."""
        family = self._families.get(wanted.name)
        if family is None:
            self.registry.register(wanted)
            self._families[wanted.name] = wanted
            return wanted
        if family.kind != wanted.kind:
            raise ValueError(f"the metric `{wanted.name}` is there already, as {family.kind}; it stays until a restart")
        return family


class Family(Collector, Generic[T]):
    """One metric of all plugins that export it."""

    def __init__(self, name: str, doc: str, *, kind: str) -> None:
        self.name, self._doc = name, doc
        self.kind = kind
        """Families of one name are of one kind."""
        self.by_plugin: dict[str, T] = {}

    @abstractmethod
    def without_values(self) -> "Family[T]":
        """Return another one of the same name and kind."""

    @abstractmethod
    def describe(self) -> Iterable[Metric]:
        """Return it without a sample: a registry finds out by that whether its name is taken."""


def copies(families: Mapping[str, Family[Any]], registry: CollectorRegistry) -> dict[str, Family[Any]]:
    """Return metrics of the same names and kinds, without a value, registered elsewhere."""
    copied = {name: family.without_values() for name, family in families.items()}
    for family in copied.values():
        registry.register(family)
    return copied


def restoring(families: dict[str, Family[Any]], registry: CollectorRegistry) -> Callable[[], None]:
    """Return what makes the plugins export again what they export now, and nothing that they have not yet."""
    before = {name: dict(family.by_plugin) for name, family in families.items()}

    def restore() -> None:
        for name in families.keys() - before.keys():
            registry.unregister(families.pop(name))
        for name, by_plugin in before.items():
            families[name].by_plugin = by_plugin

    return restore


class _OneEach(Family[M]):
    """A counter, a gauge or a histogram for each plugin."""

    def __init__(self, metric: type[M], name: str, doc: str) -> None:
        super().__init__(name, doc, kind=metric.__name__)
        self._metric = metric

    def without_values(self) -> "_OneEach[M]":
        """Return one that no plugin has asked for."""
        return _OneEach(self._metric, self.name, self._doc)

    def describe(self) -> Iterable[Metric]:
        """Return the family without a sample."""
        return self._metric(self.name, self._doc, registry=None).describe()

    def collect(self) -> Iterator[Metric]:
        """Yield the family."""
        (family,) = self.describe()
        for plugin, metric in self.by_plugin.items():
            for one in metric.collect():
                for sample in one.samples:
                    family.samples.append(sample._replace(labels={"plugin": plugin, **sample.labels}))
        yield family


class _GaugeForEach(Family[ReadEach]):
    """Gauges that a plugin is asked for."""

    def __init__(self, name: str, doc: str, label: str) -> None:
        super().__init__(name, doc, kind=f"one for each {label}")
        self._label = label

    def without_values(self) -> "_GaugeForEach":
        """Return one that nobody is asked for."""
        return _GaugeForEach(self.name, self._doc, self._label)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Return the family without a sample."""
        return [GaugeMetricFamily(self.name, self._doc, labels=["plugin", self._label])]

    def collect(self) -> Iterator[Metric]:
        """Yield the family."""
        (family,) = self.describe()
        for plugin, read in self.by_plugin.items():
            for value, number in read():
                family.add_metric([plugin, value], number)
        yield family
