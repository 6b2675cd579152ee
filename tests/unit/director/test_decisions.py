"""The last decisions are kept, as many as there is room for."""

from epp.director.decisions import DecisionLog
from epp.plugin import Decision, ProfileResult
from epp.plugin.testing import make_endpoint, make_request


def decision(candidates: int) -> Decision:
    pool = [make_endpoint(f"pod-{i}") for i in range(candidates)]
    result = ProfileResult(profile="p", candidates=pool, columns=[], totals=[0.0] * candidates, picked=pool[:1])
    return Decision(endpoints=pool[:1], results={"p": result})


def test_the_last_one_comes_first() -> None:
    log = DecisionLog()
    for name in ("a", "b"):
        log.note(make_request(request_id=name), decision(1))
    assert [noted.request_id for noted in log] == ["b", "a"]


def test_decisions_over_many_endpoints_take_the_room_of_many() -> None:
    log = DecisionLog(max_rows=30)
    for i in range(20):
        log.note(make_request(request_id=str(i)), decision(4))
    assert [noted.request_id for noted in log] == ["19", "18", "17", "16", "15", "14"]
    log.note(make_request(request_id="large"), decision(100))
    assert [noted.request_id for noted in log] == ["large"]


def test_all_decisions_of_a_request_id_are_found() -> None:
    log = DecisionLog()
    for name in ("a", "b", "a"):
        log.note(make_request(request_id=name), decision(1))
    assert len(log.of("a")) == 2
    assert log.of("c") == []
