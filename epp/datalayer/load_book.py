"""One endpoint's load between two scrapes: what its last page said, and what the picker itself has sent there since.

A scraped queue length is old when it arrives, and every request picked since then makes it more wrong. The picker knows
its own requests exactly; what a page shows beyond those is other traffic: other pickers, or clients that go there
directly. So the load now is the own requests as they are, plus the other traffic as the last page showed it.

When pages stop to come, what the last one showed of others counts less and less, and what is typical for the pool takes
its place: such an endpoint looks neither idle nor full.
"""

import enum
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from epp.datalayer.ejection import UNREACHED_STATUS
from epp.datalayer.typical import Others, TypicalLoad
from epp.plugin import Endpoint, InFlight, Load

SETTLE_S = 0.25
"""How long after the decision an engine shows a request on its page, at the latest."""
FADE_S = 10.0
"""How long a request counts whose gateway shows no answers, when no page comes that would show it."""
REAP_S = 3600.0
"""How long a request counts whose end is never reported."""
HALF_LIFE_S = 2.0
"""How old a page is when what it shows of others counts half; pages are scraped once a second."""
RAW_FROM_WEIGHT = 0.1
"""Below this weight a page is not shown to those who want it raw either, and nothing else of it is believed."""


class _State(enum.IntEnum):
    """Numbered, to count them in a list."""

    UNSTARTED = 0
    STARTED = 1
    UNSEEN = 2
    GONE = 3


_UNSTARTED, _STARTED, _UNSEEN, _GONE = _State
_WAITING = (_UNSTARTED, _UNSEEN)


class InFlightRequest:
    """One request on its way to an endpoint; its events may come in any order and number, and count once."""

    __slots__ = ("_answered", "_book", "is_on_page", "output_tokens", "routed_at_s", "state", "uncached_tokens")

    def __init__(
        self,
        book: "LoadBook",
        *,
        routed_at_s: float,
        uncached_tokens: int,
        output_tokens: int,
        answered: Callable[[int | None], None],
    ) -> None:
        self._book = book
        self._answered = answered
        self.routed_at_s = routed_at_s
        self.uncached_tokens = uncached_tokens
        self.output_tokens = output_tokens
        self.is_on_page = False
        self.state = _UNSTARTED

    def started(self, status: int | None) -> None:
        """Take note of the first byte of its answer, and its HTTP status."""
        self._answered(status)
        if self.state is _UNSTARTED:
            self._book.move(self, _STARTED)

    def ended(self) -> None:
        """Take note that its stream has ended.

        Without a first byte it was cancelled, or the gateway shows no answers: then it may still be at work, and counts
        until a page can have shown it.
        """
        if self.state is _UNSTARTED:
            self._book.move(self, _UNSEEN)
        elif self.state is _STARTED:
            self._book.move(self, _GONE)

    def went_elsewhere(self) -> None:
        """Take note that the gateway could not reach the endpoint and sent it to another one."""
        self._answered(UNREACHED_STATUS)
        if self.state is not _GONE:
            self._book.move(self, _GONE)


class LoadBook:
    """Keeps `Endpoint.load` and `Endpoint.in_flight` true. Synchronous: a reader never sees half a change."""

    def __init__(
        self,
        endpoint: Endpoint,
        clock: Callable[[], float],
        *,
        typical: TypicalLoad | None = None,
        half_life_s: float = HALF_LIFE_S,
        on_answer: Callable[[int | None], None] = lambda _status: None,
    ) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._typical = typical or TypicalLoad(clock)
        self._half_life_s = half_life_s
        self._on_answer = on_answer
        self._in_flight: OrderedDict[InFlightRequest, None] = OrderedDict()
        self._counts = [0] * len(_State)
        self._tokens = 0
        self._estimated_tokens = 0
        self._tokens_since_page = 0
        """Uncached tokens of requests that the last page cannot have shown."""
        self._scraped = Load()
        self._scraped_at_s: float | None = None
        self._others = Others()
        """What the last page showed beyond the own requests."""
        self._believed = Others()
        """The same as it counts now; set by `_believe`."""
        self._others_waiting = self._others_running = self._capacity_tokens = 0
        self._asked_at_s = clock()
        self._own_when_asked = 0

    def routed(self, uncached_tokens: int, *, output_tokens: int = 0) -> InFlightRequest:
        """Take note of a request that was decided to go here; ``output_tokens`` where its output is estimated."""
        request = InFlightRequest(
            self,
            routed_at_s=self._clock(),
            uncached_tokens=uncached_tokens,
            output_tokens=output_tokens,
            answered=self._on_answer,
        )
        self._in_flight[request] = None
        self._counts[_UNSTARTED] += 1
        self._tokens += uncached_tokens
        self._estimated_tokens += output_tokens
        self._tokens_since_page += uncached_tokens
        self._publish()
        return request

    def move(self, request: InFlightRequest, state: _State) -> None:
        """Take note of what has become of a request."""
        self._move(request, state)
        self._publish()

    def _move(self, request: InFlightRequest, state: _State) -> None:
        self._count_tokens(request, -1)
        self._counts[request.state] -= 1
        request.state = state
        self._counts[state] += 1
        self._count_tokens(request, 1)
        if state is _GONE:
            del self._in_flight[request]
            self._note_on_page(request)

    def _count_tokens(self, request: InFlightRequest, sign: int) -> None:
        """Add or take away what a request counts for in the state that it is in."""
        if request.state in _WAITING:
            self._tokens += sign * request.uncached_tokens
        if request.output_tokens and request.state is not _GONE:
            kept = request.uncached_tokens if request.state is _STARTED else 0
            self._estimated_tokens += sign * (request.output_tokens + kept)

    def asked(self) -> None:
        """Take note that the endpoint's page is being asked for."""
        self._asked_at_s = self._clock()
        self._own_when_asked = len(self._in_flight)

    def scraped(self, load: Load) -> None:
        """Take note of what the page says that was asked for last."""
        self._scraped = load
        self._scraped_at_s = self._clock()
        shown = self._release_unseen(self._asked_at_s - SETTLE_S)
        own = max(self._own_when_asked - shown, len(self._in_flight))
        for request in self._in_flight:
            if request.routed_at_s > self._asked_at_s:
                break
            self._note_on_page(request)
        self._others = _others(load, own)
        self._believe(_blend(self._others, self._typical.mean(), weight=1.0))
        self._endpoint.scraped = load
        self._typical.note(self._endpoint, self._others)
        self._publish()

    def not_scraped(self) -> None:
        """Take note that no page came that could be read: what the last one said counts less."""
        self._release_unseen(self._clock() - FADE_S)
        self._typical.forget(self._endpoint)
        weight = self._weight()
        if weight < RAW_FROM_WEIGHT:
            self._endpoint.scraped = Load()
            self._scraped = msgspec.structs.replace(self._scraped, adapters=None, custom={})
        self._believe(_blend(self._others, self._typical.mean(), weight=weight))
        self._publish()

    def _believe(self, others: Others) -> None:
        """Work out what each publication needs: there are three of them for each request."""
        scraped, self._believed = self._scraped, others
        self._others_waiting, self._others_running = round(others.waiting or 0), round(others.running or 0)
        self._capacity_tokens = (scraped.block_size_tokens or 0) * (scraped.block_count or 0)

    def _weight(self) -> float:
        """Return how much the last page counts, 0..1: half of it after each half-life."""
        if self._scraped_at_s is None:
            return 0.0
        age_s = max(0.0, self._clock() - self._scraped_at_s)
        return float(2 ** -(age_s / self._half_life_s))

    def _release_unseen(self, routed_before_s: float) -> int:
        """Let go of requests that are over or at work unseen since, and of those whose end is never reported.

        Returns how many requests were let go.
        """
        lost_before_s = self._clock() - REAP_S
        released = []
        for request in self._in_flight:
            if request.routed_at_s > max(routed_before_s, lost_before_s):
                break
            if request.routed_at_s < lost_before_s or request.state is _UNSEEN:
                released.append(request)
        for request in released:
            self._move(request, _GONE)
        return len(released)

    def _note_on_page(self, request: InFlightRequest) -> None:
        """Take note that a request's prompt is on the page, or over, and is not to be added to it."""
        if not request.is_on_page:
            request.is_on_page = True
            self._tokens_since_page -= request.uncached_tokens

    def _publish(self) -> None:
        endpoint, scraped, counts, ratio = self._endpoint, self._scraped, self._counts, self._believed.kv_cache_ratio
        unstarted = counts[_UNSTARTED] + counts[_UNSEEN]
        if ratio is not None and self._capacity_tokens:
            # With the prompts that were sent since the page, as far as they are not cached.
            ratio = min(1.0, ratio + self._tokens_since_page / self._capacity_tokens)
        endpoint.in_flight = InFlight(
            requests=len(self._in_flight),
            unstarted=unstarted,
            uncached_tokens=self._tokens,
            estimated_tokens=self._estimated_tokens,
        )
        endpoint.load = Load(
            waiting=unstarted + self._others_waiting,
            running=counts[_STARTED] + self._others_running,
            kv_cache_ratio=ratio,
            block_size_tokens=scraped.block_size_tokens,
            block_count=scraped.block_count,
            adapters=scraped.adapters,
            custom=scraped.custom,
        )


def _others(load: Load, own: int) -> Others:
    """Return what a page shows beyond ``own`` requests, in the proportion of those that wait and those that run."""
    waiting, running = load.waiting or 0, load.running or 0
    shown = waiting + running
    other = max(0, shown - own)
    other_waiting = round(other * waiting / shown) if shown else 0
    return Others(
        waiting=None if load.waiting is None else other_waiting,
        running=None if load.running is None else other - other_waiting,
        kv_cache_ratio=load.kv_cache_ratio,
    )


def _blend(seen: Others, typical: Others, *, weight: float) -> Others:
    return Others(
        waiting=_between(seen.waiting, typical.waiting, weight=weight),
        running=_between(seen.running, typical.running, weight=weight),
        kv_cache_ratio=_between(seen.kv_cache_ratio, typical.kv_cache_ratio, weight=weight),
    )


def _between(seen: float | None, typical: float | None, *, weight: float) -> float | None:
    """Return the one, the other, or a mean of both; where nothing is typical, what was seen fades to nothing."""
    if seen is None:
        return typical
    return weight * seen + (1 - weight) * (typical or 0.0)
