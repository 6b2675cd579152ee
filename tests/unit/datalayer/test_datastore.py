"""Who is in the pool, and what a scrape says about being ready."""

import pytest

from epp.datalayer import Datastore
from epp.plugin import Endpoint, EndpointSpec, Load
from epp.plugin.testing import make_context

LOAD = Load(waiting=1)


class Pool:
    """A datastore with a clock that the test turns."""

    def __init__(self, *names: str) -> None:
        self.now_s = 100.0
        self.removed: list[str] = []
        self.store = Datastore(
            clock=lambda: self.now_s,
            log=make_context().log,
            on_removed=lambda endpoint: self.removed.append(endpoint.name),
        )
        self.store.replace([spec(name) for name in names])

    def __getitem__(self, name: str) -> Endpoint:
        return next(endpoint for endpoint in self.store.endpoints() if endpoint.name == name)


def spec(name: str, *, port: int = 8000) -> EndpointSpec:
    return EndpointSpec(name=name, address="10.0.0.1", port=port)


def test_new_endpoint_is_not_ready_before_its_first_answer() -> None:
    pool = Pool("a")
    assert not pool["a"].ready
    pool.store.scraped(pool["a"], LOAD)
    assert pool["a"].ready
    assert pool["a"].load == LOAD


def test_unchanged_endpoint_keeps_its_load_when_others_come_and_go() -> None:
    pool = Pool("a", "b")
    kept = pool["a"]
    pool.store.scraped(kept, LOAD)
    pool.store.replace([spec("c"), spec("a")])
    assert pool["a"] is kept
    assert kept.load == LOAD
    assert [endpoint.name for endpoint in pool.store.endpoints()] == ["c", "a"]
    assert pool.removed == ["b"]


def test_new_labels_are_taken_over_without_taking_the_endpoint_out() -> None:
    pool = Pool("a")
    endpoint = pool["a"]
    pool.store.scraped(endpoint, LOAD)
    pool.store.replace([EndpointSpec(name="a", address="10.0.0.1", port=8000, labels={"zone": "b"})])
    assert pool["a"] is endpoint
    assert endpoint.ready
    assert endpoint.labels == {"zone": "b"}
    assert pool.removed == []


def test_endpoint_that_moved_to_another_port_is_a_new_one() -> None:
    pool = Pool("a")
    before = pool["a"]
    pool.store.scraped(before, LOAD)
    pool.store.replace([spec("a", port=8001)])
    assert pool["a"] is not before
    assert not pool["a"].ready
    assert pool.removed == ["a"]


def test_refused_connection_takes_an_endpoint_out_at_once() -> None:
    pool = Pool("a")
    pool.store.scraped(pool["a"], LOAD)
    pool.store.unreachable(pool["a"], "refused", certain=True)
    assert not pool["a"].ready


def test_one_timeout_is_forgiven_and_the_second_is_not() -> None:
    pool = Pool("a")
    pool.store.scraped(pool["a"], LOAD)
    pool.store.unreachable(pool["a"], "timeout", certain=False)
    assert pool["a"].ready
    pool.store.unreachable(pool["a"], "timeout", certain=False)
    assert not pool["a"].ready


def test_good_scrape_forgives_earlier_timeouts() -> None:
    pool = Pool("a")
    for _ in range(5):
        pool.store.unreachable(pool["a"], "timeout", certain=False)
        pool.store.scraped(pool["a"], LOAD)
    assert pool["a"].ready


def test_endpoint_without_a_usable_page_is_ready_but_its_load_is_unknown() -> None:
    pool = Pool("a")
    pool.store.scraped(pool["a"], LOAD)
    pool.store.answered_badly(pool["a"], "http_status")
    assert pool["a"].ready
    assert pool["a"].load == Load()


def test_late_news_of_an_endpoint_that_left_changes_nothing() -> None:
    pool = Pool("a")
    gone = pool["a"]
    pool.store.replace([])
    pool.store.replace([spec("a")])
    pool.store.scraped(gone, LOAD)
    pool.store.answered_badly(gone, "http_status")
    pool.store.unreachable(gone, "refused", certain=True)
    assert not pool["a"].ready
    assert pool["a"].load == Load()
    assert pool.store.scrape_age_s(gone) is None


def test_scrape_age_counts_from_the_last_good_scrape() -> None:
    pool = Pool("a")
    assert pool.store.scrape_age_s(pool["a"]) is None
    pool.store.scraped(pool["a"], LOAD)
    pool.now_s += 2.5
    pool.store.answered_badly(pool["a"], "http_status")
    assert pool.store.scrape_age_s(pool["a"]) == pytest.approx(2.5)


def test_listeners_are_told_of_changes_and_of_nothing_else() -> None:
    pool = Pool("a")
    calls: list[None] = []
    pool.store.on_change(lambda: calls.append(None))
    pool.store.replace([spec("a")])
    assert len(calls) == 0
    pool.store.replace([spec("a"), spec("b")])
    pool.store.replace([])
    assert len(calls) == 2
