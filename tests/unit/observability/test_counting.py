"""What is put together when it is collected looks as `prometheus_client`'s own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from epp.observability.counting import Distribution, Level

BOUNDS = (0.1, 1, 2.5)
VALUES = st.sampled_from(BOUNDS) | st.floats(allow_nan=False)


def lines(page: bytes) -> list[str]:
    return [line for line in page.decode().splitlines() if "_created" not in line]


@given(st.lists(VALUES, max_size=5))
def test_pages_are_those_of_a_histogram_and_a_gauge(values: list[float]) -> None:
    theirs, ours = CollectorRegistry(), CollectorRegistry()
    histogram = Histogram("it_seconds", "It.", buckets=BOUNDS, registry=theirs)
    distribution = Distribution("it_seconds", "It.", buckets=BOUNDS, registry=ours)
    gauge, level = Gauge("level", "So many.", registry=theirs), Level("level", "So many.", registry=ours)
    for value in values:
        histogram.observe(value)
        distribution.observe(value)
        gauge.inc()
        level.value += 1
    for page in (generate_latest, generate_openmetrics):
        assert lines(page(ours)) == lines(page(theirs))


def test_name_is_taken() -> None:
    """Plugins name metrics too."""
    registry = CollectorRegistry()
    Distribution("it_seconds", "It.", buckets=BOUNDS, registry=registry)
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        Histogram("it_seconds", "It.", registry=registry)
