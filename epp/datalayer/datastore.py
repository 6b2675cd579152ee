"""The pool: which endpoints there are, and what is known of each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import assert_never

from structlog.typing import FilteringBoundLogger

from epp.datalayer.ejection import FIRST_FAILED_STATUS, Ejection
from epp.datalayer.load_book import HALF_LIFE_S, InFlightRequest, LoadBook
from epp.datalayer.typical import TypicalLoad
from epp.plugin import Endpoint, EndpointSpec, Reading, Sign
from epp.plugin.endpoint import Settling

FAILURES_UNTIL_UNREADY = 2
"""Scrapes without a connection in a row after which an endpoint counts as gone; a refused one counts at once."""

LOGGED_ENDPOINTS = 20
"""How many names a log line has when many endpoints come or go at once."""


@dataclass(slots=True)
class _Entry:
    endpoint: Endpoint
    book: LoadBook
    ejection: Ejection
    scraped_at_s: float | None = None
    page_came: bool = False
    missing: Sequence[str] = ()
    unreached: int = 0
    """Scrapes in a row without a connection."""
    is_judged: bool = False
    """Whether readiness was told yet, good or bad: the first verdict is news too."""


class Datastore:
    """The endpoints by key. Everything here is synchronous: a reader never sees half a change."""

    def __init__(  # noqa: PLR0913 - each is one collaborator or bound, given by name
        self,
        *,
        clock: Callable[[], float],
        log: FilteringBoundLogger,
        on_removed: Callable[[Endpoint], None],
        on_scraped: Callable[[Endpoint], None] = lambda _endpoint: None,
        on_lost: Callable[[Endpoint], None] = lambda _endpoint: None,
        half_life_s: float = HALF_LIFE_S,
        settling: Settling | None = None,
    ) -> None:
        self._clock = clock
        self._half_life_s = half_life_s
        """How old a metrics page is when it counts half."""
        self._typical = TypicalLoad(clock)
        self._settling = settling or Settling()
        self._log = log
        self._on_removed = on_removed
        self._on_scraped = on_scraped
        self._on_lost = on_lost
        self._entries: dict[str, _Entry] = {}
        self._endpoints: Sequence[Endpoint] = ()
        self._listeners: list[Callable[[], None]] = []
        self._failure_listeners: list[Callable[[Endpoint], None]] = []

    def endpoints(self) -> Sequence[Endpoint]:
        """Return the pool, ready or not, in the order of the source."""
        return self._endpoints

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after endpoints came or went."""
        self._listeners.append(listener)

    def on_failed_answer(self, listener: Callable[[Endpoint], None]) -> None:
        """Call ``listener`` whenever an endpoint has answered a request with a failure, or could not be reached."""
        self._failure_listeners.append(listener)

    def replace(self, specs: Sequence[EndpointSpec]) -> None:
        """Make the pool exactly these.

        An endpoint that keeps its name, address, port and UID is the same one: it keeps its load and readiness, and
        gets the new labels.
        """
        old = self._entries
        self._entries = {}
        for spec in specs:
            known = old.get(spec.key)
            if known is None or _identity(known.endpoint.spec) != _identity(spec):
                known = self._new_entry(spec)
            known.endpoint.spec = spec
            self._entries[spec.key] = known
        self._endpoints = tuple(entry.endpoint for entry in self._entries.values())
        current = set(self._endpoints)
        gone = [entry.endpoint for entry in old.values() if entry.endpoint not in current]
        came = [endpoint for endpoint in self._endpoints if old.get(endpoint.key) is not self._entries[endpoint.key]]
        for endpoint in gone:
            endpoint.has_left = True
            self._typical.forget(endpoint)
            self._on_removed(endpoint)
        if gone or came:
            self._log.info(
                "pool_changed",
                endpoints=len(self._endpoints),
                added=[endpoint.key for endpoint in came[:LOGGED_ENDPOINTS]],
                added_count=len(came),
                removed=[endpoint.key for endpoint in gone[:LOGGED_ENDPOINTS]],
                removed_count=len(gone),
            )
            for listener in self._listeners:
                listener()

    def routed(self, endpoint: Endpoint, uncached_tokens: int, *, output_tokens: int = 0) -> InFlightRequest:
        """Count a request that was decided to go to an endpoint; what is returned is told what becomes of it."""
        entry = self._entry(endpoint)
        book = LoadBook(endpoint, self._clock) if entry is None else entry.book
        return book.routed(uncached_tokens, output_tokens=output_tokens)

    def asked(self, endpoint: Endpoint) -> None:
        """Note that an endpoint's page is being asked for."""
        entry = self._entry(endpoint)
        if entry is not None:
            entry.book.asked()

    def scraped(self, endpoint: Endpoint, reading: Reading) -> None:
        """Note what a page says; the endpoint answered, so it is ready."""
        entry = self._entry(endpoint)
        if entry is None:
            return
        entry.scraped_at_s = self._clock()
        entry.missing = reading.missing
        entry.page_came = True
        entry.unreached = 0
        entry.ejection.spoke()
        entry.book.scraped(reading.load)
        self._judge(entry, ready=True, reason="scraped")
        self._on_scraped(endpoint)

    def not_scraped(self, endpoint: Endpoint, sign: Sign, *, reason: str, missing: Sequence[str] = ()) -> None:
        """Note that no page came that could be read, what that says about the endpoint, and what the page had not."""
        entry = self._entry(endpoint)
        if entry is None:
            return
        if sign is Sign.REFUSED or (missing and entry.page_came):
            # Nobody listens, or somebody whose page is not yet, or no more, that of an engine at work.
            self._on_lost(endpoint)
        entry.page_came = False
        entry.missing = missing
        entry.book.not_scraped()
        entry.unreached = entry.unreached + 1 if sign in _UNREACHED else 0
        match sign:
            case Sign.REFUSED:
                self._judge(entry, ready=False, reason=reason)
            case Sign.UNREACHABLE:
                if entry.unreached >= FAILURES_UNTIL_UNREADY:
                    self._judge(entry, ready=False, reason=reason)
            case Sign.SILENT:
                self._judge(entry, ready=True, reason=reason)
                entry.ejection.silent()
            case Sign.ALIVE:
                entry.ejection.spoke()
                self._judge(entry, ready=True, reason=reason)
            case _:
                assert_never(sign)

    def is_at_rest(self, endpoint: Endpoint) -> bool:
        """Tell whether an endpoint has nothing to do: none of ours, and nothing on its last page, which came."""
        entry = self._entry(endpoint)
        page = endpoint.scraped
        return (
            entry is not None and entry.page_came and not (endpoint.in_flight.requests or page.waiting or page.running)
        )

    def scrape_age_s(self, endpoint: Endpoint) -> float | None:
        """Return the age of the last good scrape, ``None`` when there was none yet."""
        entry = self._entry(endpoint)
        if entry is None or entry.scraped_at_s is None:
            return None
        return self._clock() - entry.scraped_at_s

    def missing_metrics(self, endpoint: Endpoint) -> Sequence[str]:
        """Return the names of the metrics that the endpoint's last page should have had and had not."""
        entry = self._entry(endpoint)
        return () if entry is None else entry.missing

    def _new_entry(self, spec: EndpointSpec) -> _Entry:
        endpoint = Endpoint(spec)
        ejection = Ejection(endpoint, self._settling, clock=self._clock, log=self._log)

        def answered(status: int | None) -> None:
            ejection.answered(status)
            if status is not None and status >= FIRST_FAILED_STATUS:
                for listener in self._failure_listeners:
                    listener(endpoint)

        book = LoadBook(
            endpoint,
            self._clock,
            typical=self._typical,
            half_life_s=self._half_life_s,
            on_answer=answered,
        )
        return _Entry(endpoint, book, ejection)

    def _entry(self, endpoint: Endpoint) -> _Entry | None:
        """Return the entry of this very endpoint; ``None`` when it has left, even if its name came back."""
        entry = self._entries.get(endpoint.key)
        return entry if entry is not None and entry.endpoint is endpoint else None

    def _judge(self, entry: _Entry, *, ready: bool, reason: str) -> None:
        endpoint = entry.endpoint
        if endpoint.ready is ready and entry.is_judged:
            return
        endpoint.ready = ready
        entry.is_judged = True
        if ready:
            entry.ejection.begin()
        log = self._log.info if ready else self._log.warning
        log("endpoint_ready" if ready else "endpoint_unready", endpoint=endpoint.key, reason=reason)


_UNREACHED = frozenset({Sign.UNREACHABLE, Sign.REFUSED})


def _identity(spec: EndpointSpec) -> tuple[str, int, str]:
    return spec.address, spec.port, spec.uid
