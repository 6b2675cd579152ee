"""One endpoint's load between two scrapes."""

import gc

import pytest

from epp.datalayer.ejection import UNREACHED_STATUS
from epp.datalayer.load_book import (
    FADE_S,
    HALF_LIFE_S,
    REAP_S,
    SETTLE_S,
    InFlightRequest,
    LoadBook,
)
from epp.datalayer.typical import MEAN_FOR_S, TypicalLoad
from epp.plugin import Adapters, Endpoint, InFlight, Load
from epp.plugin.testing import make_endpoint


class Desk:
    """A book with a clock that the test turns."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.endpoint: Endpoint = make_endpoint(waiting=None, running=None, kv_cache_ratio=None)
        self.typical = TypicalLoad(lambda: self.now_s)
        self.book = LoadBook(self.endpoint, lambda: self.now_s, typical=self.typical)

    def page(self, *, waiting: int = 0, running: int = 0, after_s: float = 1.0, **more: float) -> None:
        """Ask for a page, and get it at once."""
        self.now_s += after_s
        self.book.asked()
        self.book.scraped(Load(waiting=waiting, running=running, **more))  # type: ignore[arg-type]

    @property
    def load(self) -> tuple[int | None, int | None]:
        return self.endpoint.load.waiting, self.endpoint.load.running


def test_without_own_requests_the_load_is_what_the_page_says() -> None:
    desk = Desk()
    desk.page(waiting=3, running=5)
    assert desk.load == (3, 5)


def test_request_counts_from_its_decision_on() -> None:
    desk = Desk()
    desk.page()
    desk.book.routed(100)
    assert desk.load == (1, 0)
    assert desk.endpoint.in_flight == InFlight(requests=1, unstarted=1, uncached_tokens=100)


def test_first_byte_moves_a_request_from_waiting_to_running() -> None:
    desk = Desk()
    desk.page()
    desk.book.routed(100).started(200)
    assert desk.load == (0, 1)
    assert desk.endpoint.in_flight == InFlight(requests=1)


def test_own_requests_on_the_page_are_not_counted_twice() -> None:
    desk = Desk()
    desk.page()
    for _ in range(4):
        desk.book.routed(10)
    desk.book.routed(10).started(200)
    desk.page(waiting=3, running=2)
    assert desk.load == (4, 1)


def test_traffic_of_others_is_added_as_the_page_shows_it() -> None:
    desk = Desk()
    desk.page()
    for _ in range(2):
        desk.book.routed(10)
    desk.page(waiting=6, running=6)
    assert desk.load == (2 + 5, 5)


def test_request_that_ends_is_gone_before_the_next_page() -> None:
    desk = Desk()
    request = desk.book.routed(10)
    request.started(200)
    desk.page(running=1)
    request.ended()
    assert desk.load == (0, 0)


def test_request_that_ended_while_the_page_was_on_its_way_is_not_taken_for_one_of_others() -> None:
    desk = Desk()
    request = desk.book.routed(10)
    request.started(200)
    desk.now_s += 1
    desk.book.asked()
    request.ended()
    desk.book.scraped(Load(waiting=0, running=1))
    assert desk.load == (0, 0)


def test_gateway_that_shows_no_answers_has_its_requests_counted_until_a_page_shows_them() -> None:
    desk = Desk()
    desk.page()
    desk.book.routed(10).ended()
    assert desk.load == (1, 0)
    desk.page(running=1, after_s=SETTLE_S / 2)
    assert desk.load == (1, 0)
    desk.page(running=1)
    assert desk.load == (0, 1)
    assert desk.endpoint.in_flight == InFlight()


def test_request_that_no_page_will_ever_show_fades() -> None:
    desk = Desk()
    desk.page()
    desk.book.routed(10).ended()
    for after_s, left in ((FADE_S - 1, 1), (2, 0)):
        desk.now_s += after_s
        desk.book.asked()
        desk.book.not_scraped()
        assert desk.endpoint.in_flight.requests == left


def test_request_whose_end_is_never_reported_is_let_go() -> None:
    desk = Desk()
    request = desk.book.routed(10)
    request.started(200)
    desk.page(running=1, after_s=REAP_S + 1)
    assert desk.endpoint.in_flight.requests == 0
    request.ended()
    assert desk.endpoint.in_flight.requests == 0


def test_endpoint_that_was_never_scraped_has_what_was_sent_to_it() -> None:
    desk = Desk()
    desk.book.routed(10)
    assert desk.load == (1, 0)


def test_what_a_page_showed_of_others_fades_while_pages_do_not_come() -> None:
    desk = Desk()
    desk.page(waiting=8, running=16)
    loads = []
    for _ in range(4):
        desk.now_s += HALF_LIFE_S
        desk.book.not_scraped()
        loads.append(desk.load)
    assert loads == [(4, 8), (2, 4), (1, 2), (0, 1)]


def test_own_requests_do_not_fade() -> None:
    desk = Desk()
    desk.page(waiting=8)
    desk.book.routed(10)
    desk.now_s += 100 * HALF_LIFE_S
    desk.book.not_scraped()
    assert desk.load == (1, 0)


def test_endpoint_without_pages_is_taken_for_a_typical_one() -> None:
    desk = Desk()
    for waiting, ratio in [(2, 0.2), (6, 0.6)]:
        neighbour = LoadBook(make_endpoint(), lambda: desk.now_s, typical=desk.typical)
        neighbour.scraped(Load(waiting=waiting, running=10, kv_cache_ratio=ratio))
    desk.page(waiting=100, running=100, kv_cache_ratio=0.9)
    desk.now_s += 100 * HALF_LIFE_S
    desk.book.not_scraped()
    assert desk.load == (4, 10)
    assert desk.endpoint.load.kv_cache_ratio == pytest.approx(0.4)


def test_number_that_an_engine_does_not_export_is_taken_for_a_typical_one() -> None:
    desk = Desk()
    neighbour = LoadBook(make_endpoint(), lambda: desk.now_s, typical=desk.typical)
    neighbour.scraped(Load(waiting=3, running=10, kv_cache_ratio=0.5))
    desk.now_s += MEAN_FOR_S
    desk.book.scraped(Load(running=2))
    assert desk.load == (3, 2)
    assert desk.endpoint.load.kv_cache_ratio == 0.5


def test_old_page_is_not_shown_raw_for_ever() -> None:
    desk = Desk()
    desk.page(waiting=8)
    desk.now_s += HALF_LIFE_S
    desk.book.not_scraped()
    assert desk.endpoint.scraped.waiting == 8
    desk.now_s += 10 * HALF_LIFE_S
    desk.book.not_scraped()
    assert desk.endpoint.scraped == Load()


@pytest.mark.parametrize("jump_s", [-1e6, -0.1, 1e6])
def test_clock_that_jumps_leaves_counts_as_they_are(jump_s: float) -> None:
    desk = Desk()
    desk.page(waiting=4)
    request = desk.book.routed(10)
    request.started(200)
    desk.now_s += jump_s
    desk.book.not_scraped()
    waiting, running = desk.load
    assert waiting is not None
    assert 0 <= waiting <= 4
    assert running in {0, 1}
    request.ended()
    assert desk.endpoint.in_flight == InFlight()


def test_output_that_is_estimated_counts_until_the_end_and_so_does_the_prompt() -> None:
    desk = Desk()
    request = desk.book.routed(100, output_tokens=50)
    assert desk.endpoint.in_flight == InFlight(requests=1, unstarted=1, uncached_tokens=100, estimated_tokens=50)
    request.started(200)
    assert desk.endpoint.in_flight == InFlight(requests=1, estimated_tokens=150)
    assert desk.endpoint.in_flight.tokens == 150
    request.ended()
    assert desk.endpoint.in_flight == InFlight()


def test_request_that_went_elsewhere_is_gone_at_once_and_tells_against_the_endpoint() -> None:
    statuses: list[int | None] = []
    endpoint = make_endpoint()
    book = LoadBook(endpoint, lambda: 0.0, on_answer=statuses.append)
    request = book.routed(100)
    request.went_elsewhere()
    assert endpoint.in_flight == InFlight()
    request.ended()
    request.went_elsewhere()
    assert endpoint.in_flight == InFlight()
    assert statuses[0] == UNREACHED_STATUS


def test_prompts_that_were_sent_since_the_page_fill_the_cache() -> None:
    desk = Desk()
    desk.page(kv_cache_ratio=0.25, block_size_tokens=16, block_count=1000)
    desk.book.routed(4000)
    assert desk.endpoint.load.kv_cache_ratio == pytest.approx(0.5)
    desk.book.routed(1_000_000)
    assert desk.endpoint.load.kv_cache_ratio == 1.0
    desk.page(kv_cache_ratio=0.6, block_size_tokens=16, block_count=1000)
    assert desk.endpoint.load.kv_cache_ratio == 0.6


def test_prompt_of_a_request_that_is_over_fills_the_cache_no_longer() -> None:
    desk = Desk()
    desk.page(kv_cache_ratio=0.25, block_size_tokens=16, block_count=1000)
    request = desk.book.routed(4000)
    request.started(200)
    assert desk.endpoint.load.kv_cache_ratio == pytest.approx(0.5)
    request.ended()
    assert desk.endpoint.load.kv_cache_ratio == pytest.approx(0.25)


def test_adapters_of_an_old_page_are_not_believed() -> None:
    desk = Desk()
    desk.page()
    desk.book.scraped(Load(adapters=Adapters(running=frozenset({"a"})), custom={"gpu": 1.0}))
    desk.now_s += 10 * HALF_LIFE_S
    desk.book.not_scraped()
    assert (desk.endpoint.load.adapters, desk.endpoint.load.custom) == (None, {})


def test_endpoint_without_a_page_keeps_nothing_of_requests_that_are_over() -> None:
    desk = Desk()
    for _ in range(100):
        request = desk.book.routed(10)
        request.started(200)
        request.ended()
    desk.book.not_scraped()
    del request
    gc.collect()
    assert not [one for one in gc.get_objects() if isinstance(one, InFlightRequest) and one._book is desk.book]


def test_page_as_it_was_can_be_had_too() -> None:
    desk = Desk()
    desk.page(waiting=3, running=5)
    desk.book.routed(10)
    assert (desk.endpoint.scraped.waiting, desk.endpoint.scraped.running) == (3, 5)
