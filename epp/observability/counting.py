"""Metrics of the hot path, which are only put together when they are collected.

`prometheus_client`'s own take a lock at each step, and look at one bucket after the other: together a tenth of what a
request cost (`bench/micro/request.py`). All of these are written by the one thread of the event loop.
"""

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.metrics_core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class Level:
    """A number that goes up and down."""

    __slots__ = ("value",)

    def __init__(self, name: str, documentation: str, *, registry: CollectorRegistry) -> None:
        self.value = 0
        Gauge(name, documentation, registry=registry).set_function(lambda: self.value)


class Distribution(Collector):
    """How often values were seen, by size."""

    def __init__(self, name: str, documentation: str, *, buckets: Sequence[float], registry: CollectorRegistry) -> None:
        self._name = name
        self._documentation = documentation
        self._bounds = [*buckets, math.inf]
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0
        registry.register(self)

    def observe(self, value: float) -> None:
        """Note a value; one that is a bound belongs to what is below."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def describe(self) -> Iterator[HistogramMetricFamily]:
        """Yield the family without a sample: a registry finds out by that whether its names are taken."""
        yield HistogramMetricFamily(self._name, self._documentation)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Yield the family."""
        names = map(floatToGoString, self._bounds)
        buckets = list(zip(names, map(float, accumulate(self._counts)), strict=True))
        yield HistogramMetricFamily(self._name, self._documentation, buckets=buckets, sum_value=self._sum)
