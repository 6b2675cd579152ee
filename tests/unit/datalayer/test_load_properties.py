"""Events of requests and of pages in any order, against plain sets: no count is negative, nothing leaks."""

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from epp.datalayer import Datastore
from epp.datalayer.load_book import FADE_S, REAP_S, SETTLE_S, InFlightRequest
from epp.plugin import Endpoint, EndpointSpec, InFlight, Load, Reading, Sign
from epp.plugin.testing import make_context

SPEC = EndpointSpec(name="a", address="10.0.0.1", port=8000)
BLOCK_TOKENS, BLOCKS = 16, 1000
KV_CACHE_RATIO = 0.25


@dataclass(eq=False)
class Tracked:
    """What the oracle knows of a request."""

    request: InFlightRequest
    endpoint: Endpoint
    tokens: int
    output: int
    routed_at_s: float
    state: str = "waiting"
    is_on_page: bool = False


class Interleavings(RuleBasedStateMachine):
    """One endpoint that comes and goes."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1000.0
        self.store = Datastore(clock=lambda: self.now_s, log=make_context().log, on_removed=lambda _: None)
        self.store.replace([SPEC])
        self.requests: list[Tracked] = []
        self.asked_at_s: float | None = None
        self.has_page = False

    @property
    def endpoint(self) -> Endpoint:
        (endpoint,) = self.store.endpoints()
        return endpoint

    @property
    def live(self) -> list[Tracked]:
        return [one for one in self.requests if one.endpoint is self.endpoint and one.state != "gone"]

    @rule(tokens=st.integers(0, 1000), output=st.sampled_from([0, 7]))
    def decide(self, tokens: int, output: int) -> None:
        request = self.store.routed(self.endpoint, tokens, output_tokens=output)
        self.requests.append(Tracked(request, self.endpoint, tokens, output, self.now_s))

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), status=st.sampled_from([200, 503, None]))
    def first_byte(self, data: st.DataObject, status: int | None) -> None:
        one = data.draw(st.sampled_from(self.requests))
        one.request.started(status)
        if one.state == "waiting":
            one.state = "started"

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.requests))
        one.request.ended()
        one.state = {"waiting": "unseen", "started": "gone"}.get(one.state, one.state)

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def go_elsewhere(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.requests))
        one.request.went_elsewhere()
        one.state = "gone"

    @rule(by_s=st.sampled_from([0.01, 0.1, 1.0, 20.0, 2 * REAP_S]))
    def wait(self, by_s: float) -> None:
        self.now_s += by_s

    @rule()
    def ask(self) -> None:
        self.store.asked(self.endpoint)
        self.asked_at_s = self.now_s

    @precondition(lambda self: self.asked_at_s is not None)
    @rule(waiting=st.integers(0, 50), running=st.integers(0, 50))
    def page_comes(self, waiting: int, running: int) -> None:
        assert self.asked_at_s is not None
        load = Load(
            waiting=waiting,
            running=running,
            kv_cache_ratio=KV_CACHE_RATIO,
            block_size_tokens=BLOCK_TOKENS,
            block_count=BLOCKS,
        )
        self.store.scraped(self.endpoint, Reading(load=load))
        self.release(self.asked_at_s - SETTLE_S)
        for one in self.live:
            one.is_on_page = one.is_on_page or one.routed_at_s <= self.asked_at_s
        self.has_page, self.asked_at_s = True, None

    @precondition(lambda self: self.asked_at_s is not None)
    @rule(sign=st.sampled_from(Sign))
    def page_fails(self, sign: Sign) -> None:
        self.store.not_scraped(self.endpoint, sign, reason="r")
        self.release(self.now_s - FADE_S)
        self.has_page, self.asked_at_s = False, None

    @rule()
    def return_under_the_same_address(self) -> None:
        self.store.replace([])
        self.store.replace([SPEC])
        self.has_page, self.asked_at_s = False, None

    def release(self, unseen_before_s: float) -> None:
        for one in self.live:
            is_shown = one.state == "unseen" and one.routed_at_s <= unseen_before_s
            if is_shown or one.routed_at_s < self.now_s - REAP_S:
                one.state = "gone"

    @invariant()
    def books_agree_with_the_oracle(self) -> None:
        started = [one for one in self.live if one.state == "started"]
        others = [one for one in self.live if one.state != "started"]
        assert self.endpoint.in_flight == InFlight(
            requests=len(self.live),
            unstarted=len(others),
            uncached_tokens=sum(one.tokens for one in others),
            estimated_tokens=sum(one.output for one in self.live) + sum(one.tokens for one in started if one.output),
        )
        load = self.endpoint.load
        if load == Load():
            return
        assert load.waiting is not None
        assert load.waiting >= len(others)
        assert load.running is not None
        assert load.running >= len(started)

    @invariant()
    def cache_is_filled_by_what_no_page_has_shown(self) -> None:
        if self.has_page:
            new_tokens = sum(one.tokens for one in self.live if not one.is_on_page)
            expected = min(1.0, KV_CACHE_RATIO + new_tokens / (BLOCK_TOKENS * BLOCKS))
            assert self.endpoint.load.kv_cache_ratio == pytest.approx(expected)


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(deadline=None)
