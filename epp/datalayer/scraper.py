"""Fetches every endpoint's metrics page, about once a second each.

One task an endpoint, so that one that hangs delays nobody else. The pauses are jittered: pickers and endpoints that
started together must not stay in step.
"""

import asyncio
import random

import aiohttp
from structlog.typing import FilteringBoundLogger

from epp.datalayer.datastore import Datastore
from epp.datalayer.exposition import read_load
from epp.datalayer.mapping import VLLM
from epp.observability import Metrics
from epp.plugin import Endpoint, Load

TIMEOUT_S = 1.0
"""A page that takes longer says little about now."""
MAX_PAGE_BYTES = 8 * 1024 * 1024
"""A real page has 50 KB; this bounds what a broken endpoint can make us hold."""
JITTER_RATIO = 0.1
_CHUNK_BYTES = 65_536


class Scraper:
    """Keeps the datastore's load fresh until cancelled."""

    def __init__(
        self,
        datastore: Datastore,
        *,
        interval_s: float,
        metrics: Metrics,
        rng: random.Random,
        log: FilteringBoundLogger,
    ) -> None:
        self._datastore = datastore
        self._interval_s = interval_s
        self._metrics = metrics
        self._random = rng
        self._log = log
        self._changed = asyncio.Event()
        self._waiting_for_first: set[Endpoint] = set()
        self._all_scraped = asyncio.Event()
        datastore.on_change(self._changed.set)

    async def run(self) -> None:
        """Scrape every endpoint of the pool, as it changes, until cancelled."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        # One connection for each endpoint: with aiohttp's limit of 100, those that hang would keep others waiting.
        connector = aiohttp.TCPConnector(limit=0)
        async with (
            aiohttp.ClientSession(timeout=timeout, connector=connector) as http,
            asyncio.TaskGroup() as tasks,
        ):
            followed: dict[Endpoint, asyncio.Task[None]] = {}
            while True:
                self._changed.clear()
                pool = set(self._datastore.endpoints())
                for endpoint in [endpoint for endpoint in followed if endpoint not in pool]:
                    followed.pop(endpoint).cancel()
                    self._note_first(endpoint)
                for endpoint in pool.difference(followed):
                    self._waiting_for_first.add(endpoint)
                    followed[endpoint] = tasks.create_task(self._follow(endpoint, http))
                if not self._waiting_for_first:
                    self._all_scraped.set()
                await self._changed.wait()

    async def wait_for_first_round(self) -> None:
        """Return when every endpoint of the first pool was tried once: from then on a decision has numbers."""
        await self._all_scraped.wait()

    async def _follow(self, endpoint: Endpoint, http: aiohttp.ClientSession) -> None:
        while True:
            try:
                await self._scrape(endpoint, http)
            except Exception as fault:  # noqa: BLE001 - the top of a supervised loop: logged, counted, tried again
                self._fail(endpoint, "internal", repr(fault))
                self._log.error("scrape_fault", endpoint=endpoint.key, exc_info=fault)
            self._note_first(endpoint)
            await asyncio.sleep(self._interval_s * self._random.uniform(1 - JITTER_RATIO, 1 + JITTER_RATIO))

    async def _scrape(self, endpoint: Endpoint, http: aiohttp.ClientSession) -> None:
        """Fetch one page and note what it says, or why there is none."""
        self._datastore.asked(endpoint)
        try:
            async with http.get(f"http://{endpoint.host_port}/metrics", allow_redirects=False) as response:
                if response.status != 200:  # noqa: PLR2004 - OK
                    self._fail(endpoint, "http_status", f"status {response.status}")
                    return
                page = await _read_bounded(response)
        except TimeoutError:
            self._fail(endpoint, "timeout", f"no answer within {TIMEOUT_S} s", answered=False)
        except aiohttp.ClientError as error:
            self._note_client_error(endpoint, error)
        else:
            self._note_page(endpoint, page)

    def _note_client_error(self, endpoint: Endpoint, error: aiohttp.ClientError) -> None:
        refused = isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, ConnectionRefusedError)
        if isinstance(error, aiohttp.ClientConnectionError):
            self._fail(endpoint, "refused" if refused else "connection", str(error), answered=False, certain=refused)
        else:
            self._fail(endpoint, "malformed", str(error))

    def _note_page(self, endpoint: Endpoint, page: bytes | None) -> None:
        if page is None:
            self._fail(endpoint, "too_large", f"page over {MAX_PAGE_BYTES} bytes")
            return
        load = read_load(page, VLLM)
        if load == Load():
            self._fail(endpoint, "no_metrics", "none of the expected metrics is on the page")
        else:
            self._datastore.scraped(endpoint, load)

    def _fail(
        self, endpoint: Endpoint, reason: str, detail: str, *, answered: bool = True, certain: bool = False
    ) -> None:
        self._metrics.scrape_failed(endpoint, reason)
        self._log.debug("scrape_failed", endpoint=endpoint.key, reason=reason, detail=detail)
        if answered:
            self._datastore.answered_badly(endpoint, reason)
        else:
            self._datastore.unreachable(endpoint, reason, certain=certain)

    def _note_first(self, endpoint: Endpoint) -> None:
        self._waiting_for_first.discard(endpoint)
        if not self._waiting_for_first:
            self._all_scraped.set()


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes | None:
    """Return the page, ``None`` when it is larger than any page should be."""
    page = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        page += chunk
        if len(page) > MAX_PAGE_BYTES:
            return None
    return bytes(page)
