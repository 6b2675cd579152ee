"""What is known of each endpoint, as metrics that are read from the pool when they are collected."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from epp.plugin import Endpoint

CORRECTED = ("waiting", "running", "kv_cache_ratio")
"""Numbers of `Load` that are corrected by what this picker has sent."""


class Pool(Protocol):
    """The endpoints, and what is known of their metrics pages."""

    def endpoints(self) -> Sequence[Endpoint]:
        """Return all of them."""
        ...

    def scrape_age_s(self, endpoint: Endpoint) -> float | None:
        """Return the age of the last good page, ``None`` when there was none yet."""
        ...

    def missing_metrics(self, endpoint: Endpoint) -> Sequence[str]:
        """Return the names that the last page should have had and had not."""
        ...


class PoolCollector(Collector):
    """Yields one set of series for each endpoint that is in the pool now, so that they cannot pile up."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        pool = self._pool.endpoints()
        ready = sum(endpoint.ready for endpoint in pool)
        yield GaugeMetricFamily("epp_endpoints", "Endpoints in the pool.", value=len(pool))
        yield GaugeMetricFamily("epp_endpoints_ready", "Endpoints that requests can be routed to.", value=ready)
        yield from _loads(pool)
        ages = GaugeMetricFamily("epp_scrape_age_seconds", "Age of the last good scrape.", labels=["endpoint"])
        missing = GaugeMetricFamily(
            "epp_endpoint_metric_missing", "1: not on the endpoint's metrics page.", labels=["endpoint", "metric"]
        )
        for endpoint in pool:
            age_s = self._pool.scrape_age_s(endpoint)
            if age_s is not None:
                ages.add_metric([endpoint.key], age_s)
            for name in self._pool.missing_metrics(endpoint):
                missing.add_metric([endpoint.key, name], 1)
        yield from (ages, missing)


def _loads(pool: Iterable[Endpoint]) -> Iterator[Metric]:
    """Yield what the picker knows of each endpoint's load by itself, and how much that changes what its page said."""
    requests = GaugeMetricFamily(
        "epp_endpoint_requests_in_flight", "Requests sent to an endpoint and not ended.", labels=["endpoint"]
    )
    unstarted = GaugeMetricFamily("epp_endpoint_requests_unstarted", "Those without a first byte.", labels=["endpoint"])
    tokens = GaugeMetricFamily(
        "epp_endpoint_uncached_tokens", "Their prompt tokens that are not expected in the cache.", labels=["endpoint"]
    )
    corrections = GaugeMetricFamily(
        "epp_endpoint_load_correction",
        "A number as it is rated, minus that on the page.",
        labels=["endpoint", "metric"],
    )
    ejections = CounterMetricFamily(
        "epp_endpoint_ejections",
        "Times that an endpoint was avoided: its answers failed, or none came.",
        labels=["endpoint"],
    )
    for endpoint in pool:
        requests.add_metric([endpoint.key], endpoint.in_flight.requests)
        unstarted.add_metric([endpoint.key], endpoint.in_flight.unstarted)
        tokens.add_metric([endpoint.key], endpoint.in_flight.uncached_tokens)
        for name in CORRECTED:
            rated, seen = getattr(endpoint.load, name), getattr(endpoint.scraped, name)
            if rated is not None and seen is not None:
                corrections.add_metric([endpoint.key, name], rated - seen)
        ejections.add_metric([endpoint.key], endpoint.ejections)
    yield from (requests, unstarted, tokens, corrections, ejections)
