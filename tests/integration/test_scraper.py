"""Scraping over real HTTP: an endpoint may do anything, and the others do not notice."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry

from epp.datalayer import Datastore, Scraper
from epp.datalayer.core_metrics import CoreMetricsExtractor
from epp.datalayer.core_metrics import Params as ExtractorParams
from epp.datalayer.metrics_source import MAX_PAGE_BYTES, MetricsDataSource
from epp.datalayer.metrics_source import Params as SourceParams
from epp.demo.parts import HOST
from epp.demo.process import free_ports
from epp.observability import Guard, Metrics
from epp.observability.source_guards import GuardedDataSource, GuardedExtractor
from epp.plugin import Endpoint, EndpointSpec, Load
from epp.plugin.testing import make_context
from tests.fakes.picker import value_of
from tests.fakes.upstream import Upstream, running_upstreams


class Scraped:
    """A scraper at work on one endpoint."""

    def __init__(self, port: int, interval_s: float) -> None:
        self.metrics, log = Metrics(CollectorRegistry()), make_context().log
        loop = asyncio.get_running_loop()
        self.store = Datastore(clock=loop.time, log=log, on_removed=lambda _: None, half_life_s=0.05)
        guard = Guard("source", metrics=self.metrics, log=log)
        self.scraper = Scraper(
            self.store,
            source=GuardedDataSource(guard, MetricsDataSource(SourceParams())),
            extractor=GuardedExtractor(guard, CoreMetricsExtractor(ExtractorParams())),
            interval_s=interval_s,
            metrics=self.metrics,
            rng=random.Random(0),
            log=log,
        )
        self.store.replace([EndpointSpec(name="pod", address=HOST, port=port)])

    @property
    def endpoint(self) -> Endpoint:
        (endpoint,) = self.store.endpoints()
        return endpoint

    async def failed(self, reason: str) -> float:
        """Wait until a failure of this kind was counted."""
        async with asyncio.timeout(10):
            while True:
                count = value_of(self.metrics, "epp_scrape_errors_total", endpoint="default/pod", reason=reason)
                if count:
                    return count
                await asyncio.sleep(0.01)


@asynccontextmanager
async def scraping(port: int, *, interval_s: float = 0.02) -> AsyncIterator[Scraped]:
    scraped = Scraped(port, interval_s)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(scraped.scraper.run())
        yield scraped
        task.cancel()


@asynccontextmanager
async def raw_server(answer: bytes | None, *, port: int) -> AsyncIterator[None]:
    """A TCP server that answers everything with the same bytes, or, for ``None``, with nothing at all."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            if answer is None:
                await reader.read()
            else:
                writer.write(answer)
                await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, HOST, port):
        yield


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with running_upstreams(1) as (running,):
        yield running


async def test_load_of_the_page_is_on_the_endpoint(upstream: Upstream) -> None:
    upstream.page = "vllm:num_requests_waiting 4\nvllm:num_requests_running 2\nvllm:kv_cache_usage_perc 0.5\n"
    async with scraping(upstream.port) as scraped:
        await scraped.scraper.wait_for_first_round()
        assert scraped.endpoint.ready
        assert scraped.endpoint.load == Load(waiting=4, running=2, kv_cache_ratio=0.5)


async def test_endpoint_that_returns_is_ready_again(upstream: Upstream) -> None:
    async with scraping(upstream.port) as scraped:
        await scraped.scraper.wait_for_first_round()
        await upstream.stop()
        await scraped.failed("refused")
        assert not scraped.endpoint.ready
        back = Upstream(upstream.port)
        await back.start()
        async with asyncio.timeout(10):
            while not scraped.endpoint.ready:
                await asyncio.sleep(0.01)
        await back.stop()


async def test_endpoint_whose_answer_fails_is_asked_at_once(upstream: Upstream) -> None:
    async with scraping(upstream.port, interval_s=3600) as scraped:
        await scraped.scraper.wait_for_first_round()
        await upstream.stop()
        scraped.store.routed(scraped.endpoint, 0).started(503)
        await scraped.failed("refused")
        assert not scraped.endpoint.ready


async def test_endpoint_that_left_is_not_asked_any_more(upstream: Upstream) -> None:
    async with scraping(upstream.port) as scraped:
        await scraped.scraper.wait_for_first_round()
        scraped.store.replace([])
        await asyncio.sleep(0.01)
        await upstream.stop()
        await asyncio.sleep(0.1)
        assert value_of(scraped.metrics, "epp_scrape_errors_total", endpoint="default/pod", reason="refused") is None


PAGE = b"HTTP/1.1 200 OK\r\n"


@asynccontextmanager
async def was_good(answer: bytes | None) -> AsyncIterator[Scraped]:
    """Scrape an endpoint that was ready and loaded, and answers like this from now on."""
    (port,) = free_ports(HOST, [0])
    good = Upstream(port)
    good.page = "vllm:num_requests_waiting 4\n"
    await good.start()
    async with scraping(port) as scraped:
        await scraped.scraper.wait_for_first_round()
        assert scraped.endpoint.ready
        assert scraped.endpoint.load.waiting == 4
        await good.stop()
        async with raw_server(answer, port=port):
            yield scraped


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "http_status", id="no such page"),
        pytest.param(b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", "http_status", id="redirect"),
        pytest.param(PAGE + b"Content-Length: 9\r\n\r\n<html></>", "no_metrics", id="another page"),
        pytest.param(PAGE + b"Content-Length: 4\r\n\r\n\xff\xfe\x00\x01", "no_metrics", id="not text"),
        pytest.param(PAGE + b"\r\n" + b"x" * (MAX_PAGE_BYTES + 1), "too_large", id="huge"),
        pytest.param(b"this is not HTTP\r\n\r\n", "malformed", id="not HTTP"),
        pytest.param(PAGE + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", "malformed", id="bad gzip"),
        pytest.param(
            PAGE + b"Content-Length: 500\r\n\r\nvllm:num_requests_waiting 4\n", "malformed", id="ends too early"
        ),
    ],
)
async def test_endpoint_without_a_usable_page_can_serve_and_its_load_fades(answer: bytes, reason: str) -> None:
    async with was_good(answer) as scraped:
        await scraped.failed(reason)
        async with asyncio.timeout(10):
            while not scraped.endpoint.ready or scraped.endpoint.load.waiting or scraped.endpoint.scraped != Load():
                await asyncio.sleep(0.01)


async def test_endpoint_that_closes_every_connection_is_taken_out() -> None:
    async with was_good(b"") as scraped:
        await scraped.failed("connection")
        async with asyncio.timeout(10):
            while scraped.endpoint.ready:
                await asyncio.sleep(0.01)


async def test_endpoint_that_does_not_answer_stays_ready_and_is_avoided() -> None:
    async with was_good(None) as scraped:
        await scraped.failed("timeout")
        async with asyncio.timeout(10):
            while not scraped.endpoint.ejections:
                await asyncio.sleep(0.01)
        assert scraped.endpoint.ready
