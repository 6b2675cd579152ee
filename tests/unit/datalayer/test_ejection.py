"""Endpoints that fail are avoided, for longer each time."""

import pytest

from epp.datalayer import Datastore
from epp.datalayer.ejection import FAILURES, FIRST_S, LONGEST_S
from epp.plugin import EndpointSpec, Load, Reading, Sign
from epp.plugin.endpoint import WARM_UP_S
from epp.plugin.testing import make_context


class Pool:
    """A datastore with one endpoint and a clock that the test turns."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.store = Datastore(clock=lambda: self.now_s, log=make_context().log, on_removed=lambda _: None)
        self.store.replace([EndpointSpec(name="a", address="10.0.0.1", port=8000)])
        (self.endpoint,) = self.store.endpoints()

    def answer(self, *statuses: int | None) -> None:
        for status in statuses:
            request = self.store.routed(self.endpoint, 0)
            request.started(status)
            request.ended()

    @property
    def avoided_for_s(self) -> float:
        assert self.endpoint.warm_at_s >= self.endpoint.avoided_until_s
        return max(0.0, self.endpoint.avoided_until_s - self.now_s)


def test_endpoint_is_avoided_after_some_failed_answers_in_a_row() -> None:
    pool = Pool()
    pool.answer(*[503] * (FAILURES - 1))
    assert pool.avoided_for_s == 0
    pool.answer(500)
    assert pool.avoided_for_s == FIRST_S
    assert pool.endpoint.ejections == 1


@pytest.mark.parametrize("status", [200, 404, 429])
def test_answer_that_is_no_failure_of_the_endpoint_breaks_the_row(status: int) -> None:
    pool = Pool()
    pool.answer(*[503] * (FAILURES - 1), status, 503)
    assert pool.avoided_for_s == 0


def test_answer_without_a_status_says_nothing() -> None:
    pool = Pool()
    pool.answer(*[503] * (FAILURES - 1), None, 503)
    assert pool.avoided_for_s == FIRST_S


def test_each_time_in_a_row_is_twice_as_long_up_to_a_bound() -> None:
    pool = Pool()
    times = []
    for _ in range(10):
        pool.answer(*[503] * FAILURES)
        times.append(pool.avoided_for_s)
        pool.now_s = pool.endpoint.avoided_until_s
    assert times[:4] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S, 8 * FIRST_S]
    assert times[-1] == LONGEST_S


def test_answers_that_were_under_way_do_not_make_it_longer() -> None:
    pool = Pool()
    pool.answer(*[503] * (FAILURES + 50))
    assert pool.avoided_for_s == FIRST_S
    assert pool.endpoint.ejections == 1


def test_endpoint_that_answers_again_begins_anew() -> None:
    pool = Pool()
    pool.answer(*[503] * FAILURES)
    pool.now_s += FIRST_S
    pool.answer(200, *[503] * FAILURES)
    assert pool.avoided_for_s == FIRST_S


def test_endpoint_that_comes_back_has_a_clean_record() -> None:
    pool = Pool()
    pool.answer(*[503] * FAILURES)
    pool.store.not_scraped(pool.endpoint, Sign.REFUSED, reason="refused")
    pool.store.scraped(pool.endpoint, Reading(load=Load(waiting=0)))
    assert pool.avoided_for_s == 0
    assert pool.endpoint.warm_at_s == pool.now_s + WARM_UP_S


def test_one_failed_answer_does_not_keep_an_endpoint_avoided_that_was_silent() -> None:
    pool = Pool()
    pool.answer(504)
    for _ in range(FAILURES):
        pool.store.not_scraped(pool.endpoint, Sign.SILENT, reason="timeout")
    assert pool.avoided_for_s > 0
    pool.store.scraped(pool.endpoint, Reading(load=Load(waiting=0)))
    assert pool.avoided_for_s == 0
