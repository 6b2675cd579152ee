"""Whatever a data source or an extractor does, the scraper sees a page, a reading, or a `FetchError`."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from epp.observability import Guard, Metrics
from epp.observability.source_guards import GuardedDataSource, GuardedExtractor
from epp.plugin import ConfigurationError, Endpoint, Fetch, FetchError, Load, Reading, Sign
from epp.plugin.testing import make_context, make_endpoint
from tests.fakes.picker import value_of


class Source:
    """A data source that does one thing."""

    def __init__(self, act: Callable[[], Awaitable[Any]], interval_s: object = None) -> None:
        self._act = act
        self.interval_s = interval_s

    @contextlib.asynccontextmanager
    async def open_pages(self) -> AsyncIterator[Fetch]:
        async def fetch(endpoint: Endpoint) -> Any:
            return await self._act()

        yield fetch


class Extractor:
    """An extractor that reads the same off every page."""

    def __init__(self, reading: object) -> None:
        self._reading = reading

    def read_load(self, endpoint: Endpoint, page: bytes) -> Any:
        if isinstance(self._reading, Exception):
            raise self._reading
        return self._reading


def guard() -> tuple[Guard, Metrics]:
    metrics = Metrics(CollectorRegistry())
    return Guard("mine", metrics=metrics, log=make_context().log), metrics


async def fetched(source: Source) -> bytes:
    async with GuardedDataSource(guard()[0], source).open_pages() as fetch:
        return await fetch(make_endpoint())


async def returns_text() -> str:
    return "page"


async def raises() -> bytes:
    raise RuntimeError("broken")


async def is_cancelled_by_something_else() -> bytes:
    raise asyncio.CancelledError


@pytest.mark.parametrize("act", [returns_text, raises, is_cancelled_by_something_else])
async def test_source_that_misbehaves_gives_a_fetch_error_and_is_named(act: Callable[[], Awaitable[Any]]) -> None:
    one, metrics = guard()
    async with GuardedDataSource(one, Source(act)).open_pages() as fetch:
        with pytest.raises(FetchError) as raised:
            await fetch(make_endpoint())
    assert (raised.value.reason, raised.value.sign) == ("internal", Sign.ALIVE)
    assert value_of(metrics, "epp_plugin_errors_total", plugin="mine", point="fetch") == 1


async def test_source_that_is_cancelled_by_us_ends() -> None:
    task = asyncio.ensure_future(fetched(Source(asyncio.Event().wait)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(("named", "counted"), [("refused", "refused"), ("my words 17", "other")])
async def test_reasons_are_few(named: str, counted: str) -> None:
    async def fail() -> bytes:
        raise FetchError(named, "detail", sign=Sign.REFUSED)

    with pytest.raises(FetchError) as raised:
        await fetched(Source(fail))
    assert (raised.value.reason, raised.value.sign) == (counted, Sign.REFUSED)


@pytest.mark.parametrize("interval_s", [0, -1.0, "1s", 0.01])
def test_interval_that_makes_no_sense_is_refused(interval_s: object) -> None:
    with pytest.raises(ConfigurationError, match=r"data source `mine`: interval_s must be 0\.05 or more"):
        GuardedDataSource(guard()[0], Source(raises, interval_s))


@pytest.mark.parametrize(
    "reading",
    [
        pytest.param(RuntimeError("broken"), id="raises"),
        pytest.param({"waiting": 1}, id="no reading"),
        pytest.param(Reading(load=Load(waiting="1")), id="text for a count"),  # type: ignore[arg-type]
        pytest.param(Reading(load=Load(block_count=-1)), id="negative"),
        pytest.param(Reading(load=Load(running=True)), id="a boolean"),
        pytest.param(Reading(load=Load(kv_cache_ratio=float("nan"))), id="not a number"),
        pytest.param(Reading(load=Load(kv_cache_ratio=1.5)), id="more than all"),
    ],
)
def test_extractor_that_misbehaves_gives_a_fetch_error_and_is_named(reading: object) -> None:
    one, metrics = guard()
    with pytest.raises(FetchError):
        GuardedExtractor(one, Extractor(reading)).read_load(make_endpoint(), b"")
    assert value_of(metrics, "epp_plugin_errors_total", plugin="mine", point="read_load") == 1


def test_extractor_that_behaves_is_believed() -> None:
    reading = Reading(load=Load(waiting=0, kv_cache_ratio=1), missing=["m"])
    assert GuardedExtractor(guard()[0], Extractor(reading)).read_load(make_endpoint(), b"") is reading
