"""What is counted, and that labels stay bounded."""

from prometheus_client import CollectorRegistry

from epp.observability import Metrics
from epp.observability.metrics import MAX_MODELS
from epp.plugin import Response
from epp.plugin.testing import make_endpoint
from tests.fakes.picker import PoolOf, value_of


def test_models_beyond_the_bound_count_as_other() -> None:
    metrics = Metrics(CollectorRegistry())
    for number in range(MAX_MODELS + 5):
        metrics.request_received(f"model-{number}")
    metrics.request_received("model-0")
    assert value_of(metrics, "epp_requests_total", model="other") == 5.0
    assert value_of(metrics, "epp_requests_total", model="model-0") == 2.0


def test_long_model_name_counts_as_other() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.request_received("m" * 1_000_000)
    assert value_of(metrics, "epp_requests_total", model="other") == 1.0


def test_requests_in_flight_go_up_and_down() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.request_routed(make_endpoint(), 0.001, 0.5)
    assert value_of(metrics, "epp_requests_in_flight") == 1.0
    metrics.request_ended(Response())
    assert value_of(metrics, "epp_requests_in_flight") == 0.0


def test_endpoint_that_has_left_gets_no_series_for_its_last_answers() -> None:
    metrics, endpoint = Metrics(CollectorRegistry()), make_endpoint("gone")
    metrics.endpoint_answered_error(endpoint, 503)
    endpoint.has_left = True
    metrics.endpoint_removed(endpoint)
    metrics.endpoint_answered_error(endpoint, 503)
    assert value_of(metrics, "epp_endpoint_errors_total", endpoint=endpoint.key, code="503") is None


def test_series_of_an_endpoint_go_with_it() -> None:
    metrics = Metrics(CollectorRegistry())
    endpoint = make_endpoint("pod-1")
    metrics.request_routed(endpoint, 0.001, None)
    metrics.scrape_failed(endpoint, "timeout")
    metrics.endpoint_removed(endpoint)
    assert value_of(metrics, "epp_picks_total", endpoint="default/pod-1") is None
    assert value_of(metrics, "epp_scrape_errors_total", endpoint="default/pod-1", reason="timeout") is None


def test_pool_is_read_when_the_metrics_are() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.watch_pool(PoolOf(make_endpoint("a"), make_endpoint("b", ready=False), age_s=2.5, missing=["vllm:x"]))
    assert value_of(metrics, "epp_endpoints") == 2.0
    assert value_of(metrics, "epp_endpoints_ready") == 1.0
    assert value_of(metrics, "epp_scrape_age_seconds", endpoint="default/a") == 2.5
    assert value_of(metrics, "epp_endpoint_metric_missing", endpoint="default/a", metric="vllm:x") == 1.0


def test_endpoint_that_was_never_scraped_has_no_age() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.watch_pool(PoolOf(make_endpoint("a"), age_s=None))
    assert value_of(metrics, "epp_scrape_age_seconds", endpoint="default/a") is None
