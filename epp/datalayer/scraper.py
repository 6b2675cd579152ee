"""Asks every endpoint for its metrics page, about once a second each.

One task an endpoint, so that one that hangs delays nobody else. The pauses are jittered: pickers and endpoints that
started together must not stay in step. But those that fall due at about the same time are asked together, and those
that have nothing to do half as often: with many endpoints this is what a picker costs at rest (`bench/scraping.py`).
"""

import asyncio
import math
import random
from collections.abc import Sequence

from structlog.typing import FilteringBoundLogger

from epp.datalayer.datastore import Datastore
from epp.observability import Metrics
from epp.observability.source_guards import GuardedDataSource, GuardedExtractor
from epp.plugin import Endpoint, Fetch, FetchError, Load, Sign

TIMEOUT_S = 1.0
"""A page that takes longer says little about now."""
JITTER_RATIO = 0.2
"""How much longer than the interval a pause may be. It is not shorter: the interval bounds the rate."""
REST_FACTOR = 2
"""How much longer the pause is for an endpoint that has nothing to do."""
HURRIED_PAUSE_S = 0.1
"""How soon an endpoint is asked again whose answer has failed; the next time after a whole interval."""
ASKED_TOGETHER = 5
"""How many endpoints are asked at one moment, on the average; all at once would keep requests waiting."""


class Scraper:
    """Keeps the datastore's load fresh until cancelled."""

    def __init__(  # noqa: PLR0913 - a composition point: each is one collaborator, given by name
        self,
        datastore: Datastore,
        *,
        source: GuardedDataSource,
        extractor: GuardedExtractor,
        interval_s: float,
        metrics: Metrics,
        rng: random.Random,
        log: FilteringBoundLogger,
    ) -> None:
        self._datastore = datastore
        self._source = source
        self._extractor = extractor
        self._interval_s = interval_s
        self._metrics = metrics
        self._random = rng
        self._log = log
        self._changed = asyncio.Event()
        self._suspected: dict[Endpoint, asyncio.Event] = {}
        self._waiting_for_first: set[Endpoint] = set()
        self._all_scraped = asyncio.Event()
        datastore.on_change(self._changed.set)
        datastore.on_failed_answer(self._look_again)

    async def run(self) -> None:
        """Scrape every endpoint of the pool, as it changes, until cancelled."""
        async with self._source.open_pages() as fetch, asyncio.TaskGroup() as tasks:
            followed: dict[Endpoint, asyncio.Task[None]] = {}
            while True:
                self._changed.clear()
                pool = set(self._datastore.endpoints())
                for endpoint in [endpoint for endpoint in followed if endpoint not in pool]:
                    followed.pop(endpoint).cancel()
                    del self._suspected[endpoint]
                    self._note_first(endpoint)
                for endpoint in pool.difference(followed):
                    self._waiting_for_first.add(endpoint)
                    self._suspected[endpoint] = asyncio.Event()
                    followed[endpoint] = tasks.create_task(
                        self._follow(endpoint, fetch=fetch, suspected=self._suspected[endpoint])
                    )
                if not self._waiting_for_first:
                    self._all_scraped.set()
                await self._changed.wait()

    async def wait_for_first_round(self) -> None:
        """Return when every endpoint of the first pool was tried once: from then on a decision has numbers."""
        await self._all_scraped.wait()

    def _look_again(self, endpoint: Endpoint) -> None:
        """Ask an endpoint soon that has failed: it may be gone."""
        if endpoint in self._suspected:
            self._suspected[endpoint].set()

    async def _follow(self, endpoint: Endpoint, *, fetch: Fetch, suspected: asyncio.Event) -> None:
        has_hurried = False
        while True:
            suspected.clear()
            try:
                await self._scrape(endpoint, fetch)
            except Exception as fault:  # noqa: BLE001 - the top of a supervised loop: logged, counted, tried again
                self._fail(endpoint, FetchError("internal", repr(fault)))
                self._log.error("scrape_fault", endpoint=endpoint.key, exc_info=fault)
            self._note_first(endpoint)
            pause_s = self._pause_s(REST_FACTOR if self._datastore.is_at_rest(endpoint) else 1)
            least_s = self._interval_s if has_hurried else HURRIED_PAUSE_S
            has_hurried = await _pause(pause_s, least_s=least_s, until=suspected)

    async def _scrape(self, endpoint: Endpoint, fetch: Fetch) -> None:
        """Fetch one page and note what it says, or why there is none."""
        self._datastore.asked(endpoint)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                page = await fetch(endpoint)
            if endpoint.has_left:
                return
            reading = self._extractor.read_load(endpoint, page)
        except TimeoutError:
            self._fail(endpoint, FetchError("timeout", f"no answer within {TIMEOUT_S} s", sign=Sign.SILENT))
        except FetchError as error:
            self._fail(endpoint, error)
        else:
            if reading.load == Load():
                nothing = FetchError("no_metrics", "none of the expected metrics is on the page")
                self._fail(endpoint, nothing, missing=reading.missing)
            else:
                self._datastore.scraped(endpoint, reading)

    def _fail(self, endpoint: Endpoint, error: FetchError, *, missing: Sequence[str] = ()) -> None:
        self._metrics.scrape_failed(endpoint, error.reason)
        self._log.debug("scrape_failed", endpoint=endpoint.key, reason=error.reason, detail=error.detail)
        self._datastore.not_scraped(endpoint, error.sign, reason=error.reason, missing=missing)

    def _note_first(self, endpoint: Endpoint) -> None:
        self._waiting_for_first.discard(endpoint)
        if not self._waiting_for_first:
            self._all_scraped.set()

    def _pause_s(self, intervals: int) -> float:
        """Return how long to wait: about so many intervals, and until one of the moments that all endpoints share."""
        now_s = asyncio.get_running_loop().time()
        pause_s = intervals * self._interval_s
        due_s = now_s + pause_s * self._random.uniform(1, 1 + JITTER_RATIO)
        tick_s = pause_s * min(JITTER_RATIO / 2, ASKED_TOGETHER / max(1, len(self._datastore.endpoints())))
        return math.ceil(due_s / tick_s) * tick_s - now_s


async def _pause(pause_s: float, *, least_s: float, until: asyncio.Event) -> bool:
    """Wait, at least for the shorter time; tell whether an event cut it short."""
    clock = asyncio.get_running_loop().time
    began_s = clock()
    try:
        async with asyncio.timeout(pause_s):
            await until.wait()
            await asyncio.sleep(began_s + least_s - clock())
    except TimeoutError:
        return False
    return True
