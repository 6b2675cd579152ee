"""A session stays where it is."""

import base64

import pytest

from epp.plugin import Decision, Endpoint, InferenceRequest, ProfileResult, Response
from epp.plugin.testing import make_context, make_endpoint, make_request
from epp_plugins.filters.session_affinity import SessionAffinityFilter
from epp_plugins.scorers.session_affinity import SessionAffinityScorer
from epp_plugins.sessions import MAX_ID_CHARACTERS, Params, SessionSource, Strategy

A, B, C = make_endpoint("a"), make_endpoint("b", port=2), make_endpoint("c", port=3)
POOL = [A, B, C]
BY_ID = Params(strategy=Strategy.SESSION_ID)


class Clock:
    """A clock that the test turns."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def asking(**head: str) -> InferenceRequest:
    return make_request(head={name.replace("_", "-"): value for name, value in head.items()})


def by_id(params: Params = BY_ID, clock: Clock | None = None) -> SessionAffinityFilter:
    return SessionAffinityFilter(params, make_context(clock=clock or Clock()))


def test_client_that_names_its_endpoint_gets_it() -> None:
    one = SessionAffinityFilter(Params(), make_context())
    first = asking()
    assert one.filter(first, POOL) is POOL
    headers = one.on_response_head(first, Decision(endpoints=[B]), Response(status=200))
    assert headers == {"x-session-token": base64.b64encode(b"default/b").decode()}
    assert one.filter(asking(x_session_token=headers["x-session-token"]), POOL) == [B]


def test_fallback_that_served_is_the_one_that_is_remembered() -> None:
    one = SessionAffinityFilter(Params(), make_context())
    response = Response(status=200, served_by=C.host_port)
    headers = one.on_response_head(asking(), Decision(endpoints=[B, C]), response)
    assert headers == {"x-session-token": base64.b64encode(b"default/c").decode()}


def test_answer_that_is_an_error_pins_nothing() -> None:
    one = SessionAffinityFilter(Params(), make_context())
    assert one.on_response_head(asking(), Decision(endpoints=[B]), Response(status=500)) == {}


@pytest.mark.parametrize("token", ["", "%%%", "/w==", base64.b64encode(b"default/gone").decode(), "é"])
def test_token_that_makes_no_sense_pins_nothing(token: str) -> None:
    one = SessionAffinityFilter(Params(), make_context())
    assert one.filter(asking(x_session_token=token), POOL) is POOL


def test_session_goes_where_it_went_and_others_anywhere() -> None:
    one = by_id()
    one.on_routed(asking(x_session_id="s"), Decision(endpoints=[B]))
    assert one.filter(asking(x_session_id="s"), POOL) == [B]
    assert one.filter(asking(x_session_id="t"), POOL) is POOL
    assert one.filter(asking(), POOL) is POOL


def test_session_moves_only_when_its_endpoint_is_no_candidate() -> None:
    one = by_id()
    one.on_routed(asking(x_session_id="s"), Decision(endpoints=[B]))
    assert one.filter(asking(x_session_id="s"), [A, C]) == [A, C]
    one.on_routed(asking(x_session_id="s"), Decision(endpoints=[A]))
    assert one.filter(asking(x_session_id="s"), POOL) == [A]


def test_session_is_over_after_a_while_without_requests() -> None:
    clock = Clock()
    one = by_id(Params(strategy=Strategy.SESSION_ID, eviction_ttl_seconds=10), clock)
    for now_s in (0.0, 8.0):
        clock.now_s = now_s
        one.on_routed(asking(x_session_id="s"), Decision(endpoints=[B]))
    clock.now_s = 17.0
    assert one.filter(asking(x_session_id="s"), POOL) == [B]
    clock.now_s = 18.0
    assert one.filter(asking(x_session_id="s"), POOL) is POOL


def test_sessions_are_bounded_and_those_that_are_over_go() -> None:
    clock = Clock()
    one = by_id(Params(strategy=Strategy.SESSION_ID, max_sessions=10, eviction_ttl_seconds=10), clock)
    for number in range(100):
        one.on_routed(asking(x_session_id=f"s{number}"), Decision(endpoints=[B]))
    assert len(one._sessions._pins) == 10
    assert one.filter(asking(x_session_id="s99"), POOL) == [B]
    clock.now_s = 100.0
    one.on_routed(asking(x_session_id="new"), Decision(endpoints=[B]))
    assert len(one._sessions._pins) == 1


def test_name_of_the_header_is_read_in_any_case() -> None:
    one = SessionAffinityFilter(Params(header="X-My-Session"), make_context())
    headers = one.on_response_head(asking(), Decision(endpoints=[B]), Response(status=200))
    assert headers is not None
    assert one.filter(asking(x_my_session=headers["x-my-session"]), POOL) == [B]


def test_id_that_is_too_long_is_none() -> None:
    one = by_id()
    one.on_routed(asking(x_session_id="s" * (MAX_ID_CHARACTERS + 1)), Decision(endpoints=[B]))
    assert not one._sessions._pins


def test_cache_key_of_the_body_can_be_the_session() -> None:
    sources = [SessionSource(header="X-Chat"), SessionSource(prompt_cache_key=True)]
    one = by_id(Params(strategy=Strategy.SESSION_ID, sources=sources))
    one.on_routed(make_request(prompt_cache_key="k"), Decision(endpoints=[C]))
    assert one.filter(make_request(prompt_cache_key="k"), POOL) == [C]
    assert one.filter(make_request(prompt_cache_key="k", head={"x-chat": "other"}), POOL) is POOL


def test_pick_of_a_named_profile_is_remembered() -> None:
    one = by_id(Params(strategy=Strategy.SESSION_ID, profile_name="prefill"))
    result = ProfileResult(profile="prefill", candidates=POOL, columns=[], totals=[], picked=[C])
    one.on_routed(asking(x_session_id="s"), Decision(endpoints=[B], results={"prefill": result}))
    assert one.filter(asking(x_session_id="s"), POOL) == [C]


def scores(one: SessionAffinityScorer, pool: list[Endpoint]) -> list[float]:
    return one.score(asking(x_session_id="s"), pool)


def test_scorer_rates_the_pinned_endpoint_alone() -> None:
    one = SessionAffinityScorer(BY_ID, make_context())
    assert scores(one, POOL) == [0.0, 0.0, 0.0]
    one.on_routed(asking(x_session_id="s"), Decision(endpoints=[B]))
    assert scores(one, POOL) == [0.0, 1.0, 0.0]
    assert scores(one, [A, C]) == [0.0, 0.0]
