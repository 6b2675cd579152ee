"""What a session answers to which messages: one class for every body mode."""

import json

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from epp._pb import external_processor_pb2 as pb
from epp._pb.base_pb2 import HeaderMap, HeaderValue
from epp._pb.processing_mode_pb2 import ProcessingMode
from epp.director import ArrivedRequest
from epp.extproc.messages import MAX_CHUNK_BYTES
from epp.extproc.session import Session
from epp.plugin import Decision, DropReason, Rejection
from epp.plugin.testing import make_endpoint

DUPLEX = ProcessingMode.FULL_DUPLEX_STREAMED
DECISION = Decision(endpoints=[make_endpoint(address="10.0.0.7", port=8000)])


def headers_message(
    *, request_mode: int | None = DUPLEX, response_mode: int = ProcessingMode.NONE, end_of_stream: bool = False
) -> pb.ProcessingRequest:
    names = [HeaderValue(key=":method", raw_value=b"POST"), HeaderValue(key="X-Mixed", value="plain")]
    message = pb.ProcessingRequest(
        request_headers=pb.HttpHeaders(headers=HeaderMap(headers=names), end_of_stream=end_of_stream)
    )
    if request_mode is not None:
        message.protocol_config.request_body_mode = request_mode  # type: ignore[assignment]
        message.protocol_config.response_body_mode = response_mode  # type: ignore[assignment]
    return message


def body_message(body: bytes, *, end_of_stream: bool) -> pb.ProcessingRequest:
    return pb.ProcessingRequest(request_body=pb.HttpBody(body=body, end_of_stream=end_of_stream))


def response_body_message(body: bytes, *, end_of_stream: bool) -> pb.ProcessingRequest:
    return pb.ProcessingRequest(response_body=pb.HttpBody(body=body, end_of_stream=end_of_stream))


TRAILERS = pb.ProcessingRequest(request_trailers=pb.HttpTrailers())
RESPONSE_HEADERS = pb.ProcessingRequest(response_headers=pb.HttpHeaders())
RESPONSE_TRAILERS = pb.ProcessingRequest(response_trailers=pb.HttpTrailers())


def kinds(answers: list[pb.ProcessingResponse]) -> list[str | None]:
    return [answer.WhichOneof("response") for answer in answers]


def destination_of(answer: pb.ProcessingResponse) -> str:
    """The endpoint that an answer names, which header and metadata must agree on."""
    common = getattr(answer, answer.WhichOneof("response") or "").response
    (header,) = [one.header for one in common.header_mutation.set_headers]
    assert header.key == "x-gateway-destination-endpoint"
    metadata = json_format.MessageToDict(answer.dynamic_metadata)
    assert metadata == {"envoy.lb": {"x-gateway-destination-endpoint": header.raw_value.decode()}}
    assert common.clear_route_cache
    return str(header.raw_value.decode())


def streamed_body(answers: list[pb.ProcessingResponse]) -> bytes:
    return b"".join(answer.request_body.response.body_mutation.streamed_response.body for answer in answers)


def routed(*messages: pb.ProcessingRequest, decision: Decision = DECISION) -> list[pb.ProcessingResponse]:
    """All answers to the messages, routing the request as soon as it is complete."""
    session = Session()
    for message in messages:
        if session.receive(message) is not None:
            session.route(decision)
    return session.take_answers()


def test_full_duplex_withholds_the_headers_answer_until_the_body_is_complete() -> None:
    session = Session()
    assert session.receive(headers_message()) is None
    assert session.receive(body_message(b'{"model"', end_of_stream=False)) is None
    assert session.take_answers() == []
    event = session.receive(body_message(b':"m"}', end_of_stream=True))
    assert event is not None
    assert event.body == b'{"model":"m"}'


def test_full_duplex_answers_headers_with_the_endpoint_and_then_the_body() -> None:
    answers = routed(
        headers_message(), body_message(b"abc", end_of_stream=False), body_message(b"", end_of_stream=True)
    )
    assert kinds(answers) == ["request_headers", "request_body"]
    assert destination_of(answers[0]) == "10.0.0.7:8000"
    assert streamed_body(answers[1:]) == b"abc"
    assert answers[1].request_body.response.body_mutation.streamed_response.end_of_stream


@given(st.lists(st.binary(max_size=200_000), max_size=4))
def test_full_duplex_gives_back_every_byte_in_chunks_that_fit(chunks: list[bytes]) -> None:
    messages = [body_message(chunk, end_of_stream=False) for chunk in chunks]
    answers = routed(headers_message(), *messages, body_message(b"", end_of_stream=True))
    bodies = [answer.request_body.response.body_mutation.streamed_response for answer in answers[1:]]
    assert b"".join(one.body for one in bodies) == b"".join(chunks)
    assert [one.end_of_stream for one in bodies] == [False] * (len(bodies) - 1) + [True]
    assert max(len(one.body) for one in bodies) <= MAX_CHUNK_BYTES


def test_body_after_the_first_end_of_stream_is_ignored_in_full_duplex() -> None:
    once = [headers_message(), body_message(b"abc", end_of_stream=True)]
    assert routed(*once, body_message(b"abc", end_of_stream=True)) == routed(*once)


def test_trailers_end_a_streamed_body_and_are_answered_after_it() -> None:
    answers = routed(headers_message(), body_message(b"abc", end_of_stream=False), TRAILERS)
    assert kinds(answers) == ["request_headers", "request_body", "request_trailers"]
    assert streamed_body(answers[1:2]) == b"abc"
    assert not answers[1].request_body.response.body_mutation.streamed_response.end_of_stream


def test_trailers_after_a_complete_body_are_answered() -> None:
    answers = routed(headers_message(), body_message(b"abc", end_of_stream=True), TRAILERS)
    assert kinds(answers) == ["request_headers", "request_body", "request_trailers"]


def test_buffered_answers_headers_at_once_and_routes_by_the_body_answer() -> None:
    session = Session()
    session.receive(headers_message(request_mode=ProcessingMode.BUFFERED))
    (first,) = session.take_answers()
    assert first == pb.ProcessingResponse(request_headers=pb.HeadersResponse())
    event = session.receive(body_message(b"abc", end_of_stream=True))
    assert event is not None
    assert event.body == b"abc"
    session.route(DECISION)
    (second,) = session.take_answers()
    assert destination_of(second) == "10.0.0.7:8000"
    assert not second.request_body.response.HasField("body_mutation")


def test_body_that_was_cut_by_the_buffer_is_complete_as_it_is() -> None:
    session = Session()
    session.receive(headers_message(request_mode=ProcessingMode.BUFFERED_PARTIAL))
    event = session.receive(body_message(b"ab", end_of_stream=False))
    assert event == ArrivedRequest({":method": "POST", "x-mixed": "plain"}, b"ab", None)


@pytest.mark.parametrize("mode", [DUPLEX, ProcessingMode.BUFFERED, ProcessingMode.NONE, ProcessingMode.STREAMED, None])
def test_request_without_a_body_is_routed_by_the_headers_answer(mode: int | None) -> None:
    (answer,) = routed(headers_message(request_mode=mode, end_of_stream=True))
    assert destination_of(answer) == "10.0.0.7:8000"


@pytest.mark.parametrize("mode", [ProcessingMode.NONE, ProcessingMode.STREAMED])
def test_gateway_that_wants_the_decision_before_the_body_gets_it(mode: int) -> None:
    session = Session()
    event = session.receive(headers_message(request_mode=mode))
    assert event is not None
    assert event.body is None


def test_streamed_body_after_the_decision_is_waved_through() -> None:
    answers = routed(
        headers_message(request_mode=ProcessingMode.STREAMED),
        body_message(b"a", end_of_stream=False),
        body_message(b"b", end_of_stream=True),
    )
    assert kinds(answers) == ["request_headers", "request_body", "request_body"]
    assert not any(answer.request_body.response.HasField("body_mutation") for answer in answers[1:])


def test_absent_protocol_config_means_full_duplex() -> None:
    answers = routed(headers_message(request_mode=None), body_message(b"abc", end_of_stream=True))
    assert kinds(answers) == ["request_headers", "request_body"]


def test_several_endpoints_are_named_in_order() -> None:
    decision = Decision(endpoints=[make_endpoint(address="10.0.0.1"), make_endpoint(address="fd00::2", port=9000)])
    (answer,) = routed(headers_message(end_of_stream=True), decision=decision)
    assert destination_of(answer) == "10.0.0.1:8000,[fd00::2]:9000"


def test_control_headers_of_the_client_do_not_go_upstream() -> None:
    (answer,) = routed(headers_message(end_of_stream=True))
    mutation = answer.request_headers.response.header_mutation
    assert "x-gateway-destination-endpoint-subset" in mutation.remove_headers
    assert "x-llm-d-inference-objective" in mutation.remove_headers
    assert "x-gateway-destination-endpoint" not in mutation.remove_headers
    assert len(mutation.set_headers) == 1


def test_rejection_is_an_openai_error_and_ends_the_conversation() -> None:
    session = Session()
    session.receive(headers_message(end_of_stream=True))
    session.reject(Rejection(DropReason.NO_ENDPOINTS, "nobody is ready"))
    (answer,) = session.take_answers()
    immediate = answer.immediate_response
    assert immediate.status.code == 503
    headers = {one.header.key: one.header.raw_value.decode() for one in immediate.headers.set_headers}
    assert headers == {
        "content-type": "application/json",
        "x-llm-d-request-dropped-reason": "rejected-no-endpoints",
        "retry-after": "1",
    }
    assert json.loads(immediate.body) == {
        "error": {"message": "nobody is ready", "type": "service_unavailable_error", "code": 503, "param": None}
    }
    assert session.receive(body_message(b"late", end_of_stream=True)) is None
    assert session.receive(RESPONSE_HEADERS) is None
    assert session.take_answers() == []


def test_bad_request_names_the_parameter_and_is_not_worth_a_retry() -> None:
    session = Session()
    session.receive(headers_message(end_of_stream=True))
    session.reject(Rejection(DropReason.BAD_REQUEST, "no model", param="model"))
    (answer,) = session.take_answers()
    assert json.loads(answer.immediate_response.body)["error"]["param"] == "model"
    assert "retry-after" not in {one.header.key for one in answer.immediate_response.headers.set_headers}


def test_response_chunks_are_echoed_in_full_duplex() -> None:
    answers = routed(
        headers_message(response_mode=DUPLEX, end_of_stream=True),
        RESPONSE_HEADERS,
        response_body_message(b"data: 1\n\n", end_of_stream=False),
        response_body_message(b"", end_of_stream=True),
    )
    assert kinds(answers)[1:] == ["response_headers", "response_body", "response_body"]
    bodies = [answer.response_body.response.body_mutation.streamed_response for answer in answers[2:]]
    assert [(one.body, one.end_of_stream) for one in bodies] == [(b"data: 1\n\n", False), (b"", True)]


def test_buffered_response_is_answered_without_a_body() -> None:
    answers = routed(
        headers_message(response_mode=ProcessingMode.BUFFERED, end_of_stream=True),
        RESPONSE_HEADERS,
        response_body_message(b"all of it", end_of_stream=True),
    )
    assert answers[2] == pb.ProcessingResponse(response_body=pb.BodyResponse())


def test_stream_may_begin_at_the_response_phase() -> None:
    assert kinds(routed(RESPONSE_HEADERS, RESPONSE_TRAILERS)) == ["response_headers", "response_trailers"]


def test_message_without_content_is_passed_over() -> None:
    assert routed(pb.ProcessingRequest()) == []


@pytest.mark.parametrize(
    ("hint", "subset"),
    [
        pytest.param(None, None, id="absent"),
        pytest.param(["10.0.0.1:8000", "[fd00::1]:8000"], ("10.0.0.1:8000", "[fd00::1]:8000"), id="list"),
        pytest.param("10.0.0.1:8000, 10.0.0.2:8000", ("10.0.0.1:8000", "10.0.0.2:8000"), id="string with commas"),
        pytest.param([], (), id="empty list"),
        pytest.param("", (), id="empty string"),
    ],
)
def test_subset_hint_is_read(hint: list[str] | str | None, subset: tuple[str, ...] | None) -> None:
    message = headers_message(end_of_stream=True)
    if hint is not None:
        namespace = message.metadata_context.filter_metadata["envoy.lb.subset_hint"]
        namespace.update({"x-gateway-destination-endpoint-subset": hint})
    event = Session().receive(message)
    assert event is not None
    assert event.subset == subset


def test_second_headers_message_is_ignored() -> None:
    """Routing it again would hold a second request that nobody gives back."""
    once = [headers_message(end_of_stream=True)]
    assert routed(*once, *once) == routed(*once)


def test_body_that_comes_although_none_was_announced_is_passed_on() -> None:
    answers = routed(
        headers_message(request_mode=ProcessingMode.NONE),
        body_message(b"abc", end_of_stream=False),
        body_message(b"def", end_of_stream=True),
    )
    assert kinds(answers) == ["request_headers", "request_body", "request_body"]
    assert streamed_body(answers[1:]) == b"abcdef"


def test_buffered_request_with_trailers_and_no_body_is_refused_because_its_headers_are_gone() -> None:
    answers = routed(headers_message(request_mode=ProcessingMode.BUFFERED), TRAILERS)
    assert kinds(answers) == ["request_headers", "immediate_response"]
    assert answers[1].immediate_response.status.code == 400


@pytest.mark.parametrize("mode", [DUPLEX, ProcessingMode.BUFFERED])
def test_body_is_let_go_with_the_decision(mode: int) -> None:
    """An answer can take minutes, and the prompt is not needed for it."""
    session = Session()
    session.receive(headers_message(request_mode=mode))
    session.receive(body_message(b"abc", end_of_stream=True))
    session.route(DECISION)
    assert session._body == []


MESSAGES = st.one_of(
    st.builds(headers_message, request_mode=st.sampled_from([None, 0, 1, 2, 3, 4, 5]), end_of_stream=st.booleans()),
    st.builds(body_message, st.binary(max_size=9), end_of_stream=st.booleans()),
    st.builds(response_body_message, st.binary(max_size=9), end_of_stream=st.booleans()),
    st.sampled_from([TRAILERS, RESPONSE_HEADERS, RESPONSE_TRAILERS, pb.ProcessingRequest()]),
)


@given(st.lists(MESSAGES, max_size=12))
def test_any_order_of_messages_is_answered_without_an_error(messages: list[pb.ProcessingRequest]) -> None:
    """At most one answer for each kind of headers and trailers, however often they come."""
    found = [kind for kind in kinds(routed(*messages)) if kind in {"request_headers", "immediate_response"}]
    assert found.count("request_headers") <= 1
    assert found.count("immediate_response") <= 1
