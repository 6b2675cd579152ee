"""What a session answers to a request's messages: one class for every body mode."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.extproc.messages import MAX_CHUNK_BYTES
from epp.plugin import DropReason, Endpoint, Rejection
from epp.plugin.testing import make_endpoint
from tests.fakes.ext_proc import (
    BUFFERED,
    BUFFERED_PARTIAL,
    DUPLEX,
    NONE,
    STREAMED,
    TRAILERS,
    body,
    common_of,
    destination_of,
    exchange,
    given_back,
    head,
    headers_set,
    kinds,
    leaves_body,
    new_session,
    taken,
)
from tests.fakes.routed import make_routed, no_endpoint

ALL_MODES = [DUPLEX, BUFFERED, BUFFERED_PARTIAL, NONE, STREAMED, None]
BUFFERED_MODES = [BUFFERED, BUFFERED_PARTIAL]


def test_full_duplex_withholds_the_headers_answer_until_the_body_is_complete() -> None:
    session = new_session()
    assert session.receive(head()) is None
    assert session.receive(body(b'{"model"')) is None
    assert taken(session) == []
    arrived = session.receive(body(b':"m"}', end=True))
    assert arrived is not None
    assert arrived.body == b'{"model":"m"}'


def test_full_duplex_answers_headers_with_the_endpoint_and_then_the_body() -> None:
    answers = exchange(head(), body(b"abc"), body(end=True))
    assert kinds(answers) == ["request_headers", "request_body"]
    assert destination_of(answers[0]) == "10.0.0.7:8000"
    assert given_back(answers[1:]) == b"abc"
    assert common_of(answers[1]).body_mutation.streamed_response.end_of_stream


@given(st.lists(st.binary(max_size=200_000), max_size=4))
def test_full_duplex_gives_back_every_byte_in_chunks_that_fit(chunks: list[bytes]) -> None:
    answers = exchange(head(), *[body(chunk) for chunk in chunks], body(end=True))
    bodies = [common_of(answer).body_mutation.streamed_response for answer in answers[1:]]
    assert b"".join(one.body for one in bodies) == b"".join(chunks)
    assert [one.end_of_stream for one in bodies] == [False] * (len(bodies) - 1) + [True]
    assert max(len(one.body) for one in bodies) <= MAX_CHUNK_BYTES


@pytest.mark.parametrize("mode", ALL_MODES)
def test_body_after_the_first_end_of_stream_is_ignored(mode: int | None) -> None:
    """Envoy 1.35 and later can send the end of a streamed body twice."""
    once = [head(request_mode=mode), body(b"abc", end=True)]
    assert exchange(*once, body(b"abc", end=True)) == exchange(*once)


def test_request_that_ends_with_trailers_is_routed() -> None:
    """The Go pickers never schedule it."""
    answers = exchange(head(), body(b"abc"), TRAILERS)
    assert kinds(answers) == ["request_headers", "request_body", "request_trailers"]
    assert given_back(answers[1:2]) == b"abc"
    assert not common_of(answers[1]).body_mutation.streamed_response.end_of_stream


def test_trailers_without_a_body_end_the_request() -> None:
    answers = exchange(head(), TRAILERS)
    assert kinds(answers) == ["request_headers", "request_trailers"]
    assert destination_of(answers[0]) == "10.0.0.7:8000"


@pytest.mark.parametrize("mode", ALL_MODES)
def test_trailers_after_a_complete_body_are_answered(mode: int | None) -> None:
    answers = exchange(head(request_mode=mode), body(b"abc", end=True), TRAILERS)
    assert kinds(answers) == ["request_headers", "request_body", "request_trailers"]


@pytest.mark.parametrize("mode", BUFFERED_MODES)
def test_buffered_answers_headers_at_once_and_routes_by_the_body_answer(mode: int) -> None:
    session = new_session()
    session.receive(head(request_mode=mode))
    assert kinds(taken(session)) == ["request_headers"]
    arrived = session.receive(body(b"abc", end=True))
    assert arrived is not None
    assert (arrived.body, arrived.is_cut) == (b"abc", False)
    session.route(make_routed())
    (second,) = taken(session)
    assert destination_of(second) == "10.0.0.7:8000"
    assert leaves_body(second)


def test_provisional_endpoint_is_one_that_the_subset_hint_allows() -> None:
    asked: list[object] = []

    def any_endpoint(subset: Sequence[str] | None) -> Endpoint:
        asked.append(subset)
        return make_endpoint()

    message = head(request_mode=BUFFERED)
    namespace = message.metadata_context.filter_metadata["envoy.lb.subset_hint"]
    namespace.update({"x-gateway-destination-endpoint-subset": ["10.0.0.1:8000"]})
    exchange(message, session=new_session(any_endpoint=any_endpoint))
    assert asked == [("10.0.0.1:8000",)]


def test_buffering_gateway_has_somewhere_to_go_before_the_decision() -> None:
    """Should it stream after all, or show trailers in place of a body, the request is not lost."""
    (answer,) = exchange(head(request_mode=BUFFERED))
    assert destination_of(answer) == "10.0.0.9:9"


def test_buffering_gateway_is_told_to_go_on_when_nobody_is_ready_yet() -> None:
    session = new_session(any_endpoint=no_endpoint)
    (answer,) = exchange(head(request_mode=BUFFERED), session=session)
    mutation = common_of(answer).header_mutation
    assert not mutation.set_headers
    assert {"x-gateway-destination-endpoint", "x-gateway-inference-objective"} <= set(mutation.remove_headers)
    arrived = session.receive(TRAILERS)
    assert arrived is not None
    assert arrived.subset == ()


def test_buffered_request_with_trailers_and_no_body_keeps_its_provisional_endpoint() -> None:
    session = new_session()
    session.receive(head(request_mode=BUFFERED))
    arrived = session.receive(TRAILERS)
    assert arrived is not None
    assert arrived.subset == ("10.0.0.9:9",)
    session.route(make_routed())
    assert kinds(taken(session)) == ["request_headers", "request_trailers"]


def test_body_that_was_cut_by_the_buffer_is_complete_as_it_is() -> None:
    session = new_session()
    session.receive(head(request_mode=BUFFERED_PARTIAL))
    arrived = session.receive(body(b"ab"))
    assert arrived is not None
    assert (arrived.body, arrived.is_cut) == (b"ab", True)


@pytest.mark.parametrize("mode", BUFFERED_MODES)
def test_gateway_that_says_it_buffers_and_streams_gets_every_byte_back(mode: int) -> None:
    answers = exchange(head(request_mode=mode), body(b"abc"), body(b"def"), body(end=True))
    assert kinds(answers) == ["request_headers", "request_body", "request_body", "request_body"]
    assert given_back(answers[1:]) == b"abcdef"


@pytest.mark.parametrize("mode", ALL_MODES)
def test_request_without_a_body_is_routed_by_the_headers_answer(mode: int | None) -> None:
    (answer,) = exchange(head(request_mode=mode, end_of_stream=True))
    assert destination_of(answer) == "10.0.0.7:8000"


@pytest.mark.parametrize("mode", [NONE, STREAMED])
def test_gateway_that_wants_the_decision_before_the_body_gets_it(mode: int) -> None:
    arrived = new_session().receive(head(request_mode=mode))
    assert arrived is not None
    assert arrived.body is None


def test_streamed_body_after_the_decision_is_left_to_the_gateway() -> None:
    answers = exchange(head(request_mode=STREAMED), body(b"a"), body(b"b", end=True))
    assert kinds(answers) == ["request_headers", "request_body", "request_body"]
    assert all(leaves_body(answer) for answer in answers[1:])


def test_body_that_comes_although_none_was_announced_is_given_back() -> None:
    answers = exchange(head(request_mode=NONE), body(b"abc"), body(b"def", end=True))
    assert kinds(answers) == ["request_headers", "request_body", "request_body"]
    assert given_back(answers[1:]) == b"abcdef"


def test_absent_protocol_config_means_full_duplex() -> None:
    answers = exchange(head(request_mode=None), body(b"abc", end=True))
    assert kinds(answers) == ["request_headers", "request_body"]


@pytest.mark.parametrize("mode", [DUPLEX, None])
def test_silent_gateway_gets_the_headers_answer_that_it_may_be_waiting_for(mode: int | None) -> None:
    session = new_session()
    session.receive(head(request_mode=mode))
    assert session.may_be_waiting
    arrived = session.lose_patience()
    assert arrived is not None
    assert arrived.body is None
    session.route(make_routed())
    answers = [*taken(session), *exchange(body(b"late", end=True), session=session)]
    assert destination_of(answers[0]) == "10.0.0.7:8000"
    assert given_back(answers[1:]) == b"late"
    assert "content-length" in common_of(answers[1]).header_mutation.remove_headers


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([], id="nothing came"),
        pytest.param([head(request_mode=BUFFERED)], id="the headers are answered"),
        pytest.param([head(), body(b"a")], id="it streams"),
        pytest.param([head(headers={"x-llm-d-model-name-rewrite": "m"})], id="the model is to be rewritten"),
    ],
)
def test_gateway_that_is_not_waiting_for_us_is_not_silent(messages: list[object]) -> None:
    session = new_session()
    for message in messages:
        session.receive(message)  # type: ignore[arg-type]
    assert not session.may_be_waiting
    assert session.lose_patience() is None


def test_several_endpoints_are_named_in_order_with_ipv6_in_brackets() -> None:
    routed = make_routed(make_endpoint(address="10.0.0.1"), make_endpoint(address="fd00::2", port=9000))
    (answer,) = exchange(head(end_of_stream=True), routed=routed)
    assert destination_of(answer) == "10.0.0.1:8000,[fd00::2]:9000"


def test_control_headers_of_the_client_do_not_go_upstream() -> None:
    """The Go pickers leave them in."""
    (answer,) = exchange(head(end_of_stream=True))
    mutation = common_of(answer).header_mutation
    assert "x-gateway-destination-endpoint-subset" in mutation.remove_headers
    assert "x-llm-d-inference-objective" in mutation.remove_headers
    assert "x-gateway-destination-endpoint" not in mutation.remove_headers
    assert len(mutation.set_headers) == 1


def test_request_headers_of_the_decision_are_set() -> None:
    (answer,) = exchange(head(end_of_stream=True), routed=make_routed(headers={"x-request-id": "made"}))
    assert headers_set(answer)["x-request-id"] == "made"


@pytest.mark.parametrize("mode", [DUPLEX, BUFFERED])
def test_rewritten_body_leaves_with_its_own_length(mode: int) -> None:
    routed = make_routed(rewrite=("a", "long-name"), new_body=b"the new body")
    answers = exchange(head(request_mode=mode), body(b"old", end=True), routed=routed)
    assert headers_set(answers[0] if mode == DUPLEX else answers[1])["content-length"] == "12"
    mutation = common_of(answers[1]).body_mutation
    assert mutation.body or mutation.streamed_response.body == b"the new body"


def test_second_headers_message_is_ignored() -> None:
    """Routing it again would hold a second request that nobody gives back."""
    once = [head(end_of_stream=True)]
    assert exchange(*once, *once) == exchange(*once)


@pytest.mark.parametrize("mode", [DUPLEX, BUFFERED])
def test_body_is_let_go_with_the_decision(mode: int) -> None:
    """An answer can take minutes, and the prompt is not needed for it."""
    session = new_session()
    session.receive(head(request_mode=mode))
    session.receive(body(b"abc", end=True))
    assert session.held_bytes == 3
    session.route(make_routed())
    assert session.held_bytes == 0


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([head(), body(b"12345"), body(b"6789a")], id="streamed"),
        pytest.param([head(request_mode=BUFFERED), body(b"123456789a", end=True)], id="buffered"),
        pytest.param([head(headers={"content-length": "10"})], id="announced"),
        pytest.param([head(request_mode=BUFFERED, headers={"content-length": "10"})], id="announced, buffered"),
    ],
)
def test_body_over_the_limit_is_413_and_let_go(messages: list[object]) -> None:
    session = new_session(max_body_bytes=9)
    *before, last = messages
    for message in before:
        session.receive(message)  # type: ignore[arg-type]
    with pytest.raises(Rejection) as caught:
        session.receive(last)  # type: ignore[arg-type]
    assert caught.value.refusal.status == 413
    assert caught.value.reason is DropReason.BODY_TOO_LARGE
    session.reject(caught.value)
    assert session.held_bytes == 0


@pytest.mark.parametrize("length", ["", "-1", "nonsense", "9" * 400, "1e9", "٣"])
def test_nonsense_in_content_length_is_not_believed(length: str) -> None:
    assert new_session(max_body_bytes=9).receive(head(headers={"content-length": length})) is None


@pytest.mark.parametrize("mode", [NONE, STREAMED])
def test_body_that_is_not_collected_has_no_limit(mode: int) -> None:
    announced = head(request_mode=mode, headers={"content-length": "10"})
    assert new_session(max_body_bytes=9).receive(announced) is not None
