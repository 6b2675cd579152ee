"""One endpoint's load between two scrapes: what its last page said, and what the picker itself has sent there since.

A scraped queue length is old when it arrives, and every request picked since then makes it more wrong. The picker knows
its own requests exactly; what a page shows beyond those is other traffic: other pickers, or clients that go there
directly. So the load now is the own requests as they are, plus the other traffic as the last page showed it.
"""

import enum
from collections import OrderedDict
from collections.abc import Callable

from epp.plugin import Endpoint, InFlight, Load

SETTLE_S = 0.25
"""How long after the decision an engine shows a request on its page, at the latest."""
FADE_S = 10.0
"""How long a request counts whose gateway shows no answers, when no page comes that would show it."""
REAP_S = 3600.0
"""How long a request counts whose end is never reported."""


class _State(enum.Enum):
    UNSTARTED = enum.auto()
    STARTED = enum.auto()
    UNSEEN = enum.auto()
    GONE = enum.auto()


class InFlightRequest:
    """One request on its way to an endpoint; its events may come in any order and number, and count once."""

    __slots__ = ("_answered", "_book", "is_on_page", "routed_at_s", "state", "uncached_tokens")

    def __init__(
        self, book: "LoadBook", routed_at_s: float, uncached_tokens: int, answered: Callable[[int | None], None]
    ) -> None:
        self._book = book
        self._answered = answered
        self.routed_at_s = routed_at_s
        self.uncached_tokens = uncached_tokens
        self.is_on_page = False
        self.state = _State.UNSTARTED

    def started(self, status: int | None) -> None:
        """Take note of the first byte of its answer, and its HTTP status."""
        self._answered(status)
        if self.state is _State.UNSTARTED:
            self._book.move(self, _State.STARTED)

    def ended(self) -> None:
        """Take note that its stream has ended.

        Without a first byte it was cancelled, or the gateway shows no answers: then it may still be at work, and counts
        until a page can have shown it.
        """
        if self.state is _State.UNSTARTED:
            self._book.move(self, _State.UNSEEN)
        elif self.state is _State.STARTED:
            self._book.move(self, _State.GONE)


class LoadBook:
    """Keeps `Endpoint.load` and `Endpoint.in_flight` true. Synchronous: a reader never sees half a change."""

    def __init__(
        self,
        endpoint: Endpoint,
        clock: Callable[[], float],
        *,
        on_answer: Callable[[int | None], None] = lambda _status: None,
    ) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._on_answer = on_answer
        self._in_flight: OrderedDict[InFlightRequest, None] = OrderedDict()
        self._counts = dict.fromkeys(_State, 0)
        self._tokens = 0
        self._tokens_since_page = 0
        """Uncached tokens of requests that the last page cannot have shown."""
        self._scraped = Load()
        self._other_waiting = 0
        self._other_running = 0
        self._asked_at_s = clock()
        self._own_when_asked = 0

    def routed(self, uncached_tokens: int) -> InFlightRequest:
        """Take note of a request that was decided to go here."""
        request = InFlightRequest(self, self._clock(), uncached_tokens, self._on_answer)
        self._in_flight[request] = None
        self._counts[_State.UNSTARTED] += 1
        self._tokens += uncached_tokens
        self._tokens_since_page += uncached_tokens
        self._publish()
        return request

    def move(self, request: InFlightRequest, state: _State) -> None:
        """Take note of what has become of a request."""
        if request.state is _State.UNSTARTED:
            self._tokens -= request.uncached_tokens
        self._counts[request.state] -= 1
        self._counts[state] += 1
        request.state = state
        if state is _State.GONE:
            del self._in_flight[request]
            self._note_on_page(request)
        self._publish()

    def asked(self) -> None:
        """Take note that the endpoint's page is being asked for."""
        self._asked_at_s = self._clock()
        self._own_when_asked = len(self._in_flight)

    def scraped(self, load: Load) -> None:
        """Take note of what the page says that was asked for last."""
        self._scraped = load
        own = max(self._own_when_asked - self._forget_shown(), len(self._in_flight))
        for request in self._in_flight:
            if request.routed_at_s > self._asked_at_s:
                break
            self._note_on_page(request)
        waiting, running = load.waiting or 0, load.running or 0
        shown = waiting + running
        other = max(0, shown - own)
        self._other_waiting = round(other * waiting / shown) if shown else 0
        self._other_running = other - self._other_waiting
        self._publish()

    def unknown(self) -> None:
        """Take note that there is no page to go by."""
        self._scraped = Load()
        self._other_waiting = self._other_running = 0
        self._forget_shown()
        self._publish()

    def _forget_shown(self) -> int:
        """Let go of requests without a view of their answers that the page shows, and of those that are never reported.

        Returns how many there were.
        """
        now_s = self._clock()
        before = len(self._in_flight)
        shown_before_s = max(self._asked_at_s - SETTLE_S, now_s - FADE_S)
        for request in list(self._in_flight):
            if request.routed_at_s > shown_before_s:
                break
            if request.state is _State.UNSEEN or request.routed_at_s < now_s - REAP_S:
                self.move(request, _State.GONE)
        return before - len(self._in_flight)

    def _note_on_page(self, request: InFlightRequest) -> None:
        """Take note that a request's prompt is on the page, or over, and is not to be added to it."""
        if not request.is_on_page:
            request.is_on_page = True
            self._tokens_since_page -= request.uncached_tokens

    def _publish(self) -> None:
        endpoint, scraped = self._endpoint, self._scraped
        unstarted = self._counts[_State.UNSTARTED] + self._counts[_State.UNSEEN]
        started = self._counts[_State.STARTED]
        endpoint.in_flight = InFlight(requests=len(self._in_flight), unstarted=unstarted, uncached_tokens=self._tokens)
        endpoint.scraped = scraped
        endpoint.load = Load(
            waiting=None if scraped.waiting is None else unstarted + self._other_waiting,
            running=None if scraped.running is None else started + self._other_running,
            kv_cache_ratio=self._kv_cache_ratio(),
            block_size_tokens=scraped.block_size_tokens,
            block_count=scraped.block_count,
        )

    def _kv_cache_ratio(self) -> float | None:
        """Return the share in use, with the prompts that were sent since the page as far as they are not cached."""
        scraped = self._scraped
        if scraped.kv_cache_ratio is None or not scraped.block_size_tokens or not scraped.block_count:
            return scraped.kv_cache_ratio
        capacity_tokens = scraped.block_size_tokens * scraped.block_count
        return min(1.0, scraped.kv_cache_ratio + self._tokens_since_page / capacity_tokens)
