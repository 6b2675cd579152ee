"""Who is in the pool, and what a scrape says about being ready."""

import pytest

from epp.datalayer import Datastore
from epp.datalayer.ejection import FAILURES
from epp.plugin import Endpoint, EndpointSpec, Load, Reading, Sign
from epp.plugin.endpoint import WARM_UP_S
from epp.plugin.testing import make_context

LOAD = Load(waiting=1, running=0)
READING = Reading(load=LOAD)


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
    pool.store.scraped(pool["a"], READING)
    assert pool["a"].ready
    assert pool["a"].load == LOAD


def test_unchanged_endpoint_keeps_its_load_when_others_come_and_go() -> None:
    pool = Pool("a", "b")
    kept = pool["a"]
    pool.store.scraped(kept, READING)
    pool.store.replace([spec("c"), spec("a")])
    assert pool["a"] is kept
    assert kept.load == LOAD
    assert [endpoint.name for endpoint in pool.store.endpoints()] == ["c", "a"]
    assert pool.removed == ["b"]


def test_new_labels_are_taken_over_without_taking_the_endpoint_out() -> None:
    pool = Pool("a")
    endpoint = pool["a"]
    pool.store.scraped(endpoint, READING)
    pool.store.replace([EndpointSpec(name="a", address="10.0.0.1", port=8000, labels={"zone": "b"})])
    assert pool["a"] is endpoint
    assert endpoint.ready
    assert endpoint.labels == {"zone": "b"}
    assert pool.removed == []


def test_endpoint_that_moved_to_another_port_is_a_new_one() -> None:
    pool = Pool("a")
    before = pool["a"]
    pool.store.scraped(before, READING)
    pool.store.replace([spec("a", port=8001)])
    assert pool["a"] is not before
    assert not pool["a"].ready
    assert pool.removed == ["a"]


def test_refused_connection_takes_an_endpoint_out_at_once() -> None:
    pool = Pool("a")
    pool.store.scraped(pool["a"], READING)
    pool.store.not_scraped(pool["a"], Sign.REFUSED, reason="refused")
    assert not pool["a"].ready


def test_one_missing_connection_is_forgiven_and_the_second_is_not() -> None:
    pool = Pool("a")
    pool.store.scraped(pool["a"], READING)
    pool.store.not_scraped(pool["a"], Sign.UNREACHABLE, reason="connection")
    assert pool["a"].ready
    pool.store.not_scraped(pool["a"], Sign.UNREACHABLE, reason="connection")
    assert not pool["a"].ready


def test_good_scrape_forgives_earlier_missing_connections() -> None:
    pool = Pool("a")
    for _ in range(5):
        pool.store.not_scraped(pool["a"], Sign.UNREACHABLE, reason="connection")
        pool.store.scraped(pool["a"], READING)
    assert pool["a"].ready


def test_endpoint_without_a_usable_page_is_ready() -> None:
    pool = Pool("a")
    pool.store.not_scraped(pool["a"], Sign.ALIVE, reason="http_status")
    assert pool["a"].ready


def test_endpoint_that_is_silent_stays_ready_and_is_avoided_in_favour_of_others() -> None:
    pool = Pool("a")
    pool.store.scraped(pool["a"], READING)
    for _ in range(FAILURES):
        assert pool["a"].avoided_until_s <= pool.now_s
        pool.store.not_scraped(pool["a"], Sign.SILENT, reason="timeout")
    assert pool["a"].ready
    assert pool["a"].avoided_until_s > pool.now_s


def test_silence_of_a_page_does_not_matter_while_requests_are_answered() -> None:
    pool = Pool("a")
    for _ in range(10):
        pool.store.not_scraped(pool["a"], Sign.SILENT, reason="timeout")
        pool.store.routed(pool["a"], 0).started(200)
    assert pool["a"].avoided_until_s <= pool.now_s


def test_page_after_a_silence_ends_the_avoidance() -> None:
    pool = Pool("a")
    for _ in range(FAILURES):
        pool.store.not_scraped(pool["a"], Sign.SILENT, reason="timeout")
    pool.store.scraped(pool["a"], READING)
    assert pool["a"].avoided_until_s <= pool.now_s


def test_good_page_does_not_end_what_failed_answers_began() -> None:
    pool = Pool("a")
    pool.store.scraped(pool["a"], READING)
    for _ in range(FAILURES):
        pool.store.routed(pool["a"], 0).started(503)
    pool.store.scraped(pool["a"], READING)
    assert pool["a"].avoided_until_s > pool.now_s


def test_endpoint_warms_up_whenever_it_becomes_ready() -> None:
    pool = Pool("a")
    pool.store.scraped(pool["a"], READING)
    assert pool["a"].warm_at_s == pool.now_s + WARM_UP_S
    pool.now_s += 100
    pool.store.scraped(pool["a"], READING)
    assert pool["a"].warm_at_s < pool.now_s
    pool.store.not_scraped(pool["a"], Sign.REFUSED, reason="refused")
    pool.store.scraped(pool["a"], READING)
    assert pool["a"].warm_at_s == pool.now_s + WARM_UP_S


@pytest.mark.parametrize(
    ("load", "own", "rests"),
    [
        pytest.param(Load(waiting=0, running=0), 0, True, id="nothing to do"),
        pytest.param(Load(waiting=0, running=1), 0, False, id="others' requests"),
        pytest.param(Load(waiting=0, running=0), 1, False, id="own requests"),
    ],
)
def test_endpoint_rests_when_nothing_is_to_do(load: Load, own: int, rests: bool) -> None:  # noqa: FBT001 - a table
    pool = Pool("a")
    pool.store.scraped(pool["a"], Reading(load=load))
    for _ in range(own):
        pool.store.routed(pool["a"], 0)
    assert pool.store.is_at_rest(pool["a"]) is rests


def test_endpoint_whose_page_fails_does_not_rest() -> None:
    pool = Pool("a")
    pool.store.scraped(pool["a"], Reading(load=Load(waiting=0, running=0)))
    pool.store.not_scraped(pool["a"], Sign.UNREACHABLE, reason="connection")
    assert not pool.store.is_at_rest(pool["a"])


def test_missing_metrics_are_those_of_the_last_page() -> None:
    pool = Pool("a")
    pool.store.scraped(pool["a"], Reading(load=LOAD, missing=["m"]))
    assert pool.store.missing_metrics(pool["a"]) == ["m"]
    pool.store.scraped(pool["a"], READING)
    assert pool.store.missing_metrics(pool["a"]) == ()


def test_late_news_of_an_endpoint_that_left_changes_nothing() -> None:
    pool = Pool("a")
    gone = pool["a"]
    pool.store.replace([])
    pool.store.replace([spec("a")])
    pool.store.scraped(gone, READING)
    pool.store.not_scraped(gone, Sign.ALIVE, reason="http_status")
    pool.store.not_scraped(gone, Sign.REFUSED, reason="refused")
    assert not pool["a"].ready
    assert pool["a"].load == Load()
    assert pool.store.scrape_age_s(gone) is None


def test_scrape_age_counts_from_the_last_good_scrape() -> None:
    pool = Pool("a")
    assert pool.store.scrape_age_s(pool["a"]) is None
    pool.store.scraped(pool["a"], READING)
    pool.now_s += 2.5
    pool.store.not_scraped(pool["a"], Sign.ALIVE, reason="http_status")
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


def test_endpoint_with_another_uid_is_a_new_one() -> None:
    pool = Pool()
    pods = [EndpointSpec(name="a", address="10.0.0.1", port=8000, uid=uid) for uid in ("1", "1", "2")]
    endpoints = []
    for pod in pods:
        pool.store.replace([pod])
        endpoints.append(pool["a"])
    assert endpoints[0] is endpoints[1]
    assert endpoints[1] is not endpoints[2]


def test_good_page_is_told() -> None:
    told: list[Endpoint] = []
    store = Datastore(clock=lambda: 0.0, log=make_context().log, on_removed=lambda _: None, on_scraped=told.append)
    store.replace([spec("a")])
    (endpoint,) = store.endpoints()
    store.not_scraped(endpoint, Sign.ALIVE, reason="http_status")
    assert told == []
    store.scraped(endpoint, READING)
    assert told == [endpoint]


@pytest.mark.parametrize(
    ("sign", "missing", "is_lost"),
    [
        pytest.param(Sign.REFUSED, (), True, id="nobody listens"),
        pytest.param(Sign.ALIVE, ("vllm:num_requests_waiting",), True, id="its page is not that of an engine any more"),
        pytest.param(Sign.ALIVE, (), False, id="an error"),
        pytest.param(Sign.UNREACHABLE, (), False, id="no connection"),
        pytest.param(Sign.SILENT, (), False, id="silence"),
    ],
)
def test_process_that_seems_to_be_gone_is_told(sign: Sign, missing: tuple[str, ...], *, is_lost: bool) -> None:
    told: list[Endpoint] = []
    store = Datastore(clock=lambda: 0.0, log=make_context().log, on_removed=lambda _: None, on_lost=told.append)
    store.replace([spec("a")])
    (endpoint,) = store.endpoints()
    store.scraped(endpoint, READING)
    store.not_scraped(endpoint, sign, reason="r", missing=missing)
    assert told == ([endpoint] if is_lost else [])
