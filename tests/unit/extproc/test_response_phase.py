"""What a session answers to a response's messages."""

from collections.abc import Sequence

import pytest

from epp._pb import external_processor_pb2 as pb
from tests.fakes.ext_proc import (
    BUFFERED,
    BUFFERED_PARTIAL,
    DUPLEX,
    NONE,
    RESPONSE_TRAILERS,
    STREAMED,
    body,
    common_of,
    exchange,
    given_back,
    head,
    headers_set,
    kinds,
    leaves_body,
    new_session,
    response_body,
    response_head,
)
from tests.fakes.routed import make_routed


def answered(
    *messages: pb.ProcessingRequest, mode: int, rewrite: tuple[str, str] | None = None
) -> Sequence[pb.ProcessingResponse]:
    """The answers to a response's messages, those to its request left out."""
    routed = make_routed(rewrite=rewrite)
    return exchange(head(response_mode=mode, end_of_stream=True), *messages, routed=routed)[1:]


def test_chunks_are_echoed_in_full_duplex() -> None:
    answers = answered(response_head(), response_body(b"data: 1\n\n"), response_body(end=True), mode=DUPLEX)
    assert kinds(answers) == ["response_headers", "response_body", "response_body"]
    bodies = [common_of(answer).body_mutation.streamed_response for answer in answers[1:]]
    assert [(one.body, one.end_of_stream) for one in bodies] == [(b"data: 1\n\n", False), (b"", True)]


def test_large_chunk_is_echoed_in_pieces_in_full_duplex() -> None:
    answers = answered(response_head(), response_body(b"x" * 130_000, end=True), mode=DUPLEX)
    assert kinds(answers)[1:] == ["response_body"] * 3
    assert given_back(answers[1:]) == b"x" * 130_000


@pytest.mark.parametrize("mode", [BUFFERED, BUFFERED_PARTIAL, STREAMED])
def test_whole_body_is_left_to_a_gateway_that_has_it(mode: int) -> None:
    answers = answered(response_head(), response_body(b"all of it", end=True), mode=mode)
    assert leaves_body(answers[1])


def test_streamed_chunks_are_answered_one_by_one_without_their_bytes() -> None:
    answers = answered(response_head(), response_body(b"a"), response_body(b"b", end=True), mode=STREAMED)
    assert kinds(answers) == ["response_headers", "response_body", "response_body"]
    assert all(leaves_body(answer) for answer in answers[1:])


@pytest.mark.parametrize("mode", [NONE, BUFFERED, BUFFERED_PARTIAL])
def test_body_that_comes_otherwise_than_announced_is_given_back(mode: int) -> None:
    answers = answered(response_head(), response_body(b"a"), mode=mode)
    assert given_back(answers[1:]) == b"a"


def test_stream_may_begin_at_the_response_phase() -> None:
    answers = exchange(response_head(), response_body(b"a", end=True), RESPONSE_TRAILERS)
    assert kinds(answers) == ["response_headers", "response_body", "response_trailers"]


def test_response_before_the_end_of_the_request_body_lets_the_request_go() -> None:
    """Envoy's own 413 comes like this."""
    session = new_session()
    answers = exchange(head(), body(b"abc"), response_head(status="413"), session=session)
    assert kinds(answers) == ["response_headers"]
    assert session.held_bytes == 0
    assert exchange(body(b"def", end=True), RESPONSE_TRAILERS, session=session)[0].WhichOneof("response")


def test_response_that_overtakes_a_streamed_body_leaves_both_going() -> None:
    answers = exchange(head(request_mode=STREAMED), body(b"a"), response_head(), body(b"b", end=True))
    assert kinds(answers) == ["request_headers", "request_body", "response_headers", "request_body"]


def test_status_is_read_from_the_pseudo_header() -> None:
    """The Go picker looks for a header named ``status``, which no gateway sends."""
    routed = make_routed()
    exchange(head(end_of_stream=True), response_head(status="503"), routed=routed)
    assert routed.response.status == 503
    assert routed.response.is_error


def test_served_endpoint_is_read_from_the_metadata() -> None:
    routed = make_routed()
    exchange(head(end_of_stream=True), response_head(served="10.0.0.7:8000"), routed=routed)
    assert routed.response.served_by == "10.0.0.7:8000"


def test_endpoint_is_named_to_the_client_when_asked_for() -> None:
    routed = make_routed(endpoint_header="x-inference-pod")
    answers = exchange(head(end_of_stream=True), response_head(), routed=routed)
    assert headers_set(answers[1]) == {"x-inference-pod": "pod-1"}


SPLIT = [b'{"mod', b'el": "ser', b'ved-by", "model"', b':"served-by"}']
RESTORED = b'{"model": "asked-for", "model":"asked-for"}'


@pytest.mark.parametrize("mode", [DUPLEX, NONE])
def test_model_is_named_back_across_chunks_in_a_stream(mode: int) -> None:
    chunks = [response_body(chunk) for chunk in SPLIT]
    rewrite = ("asked-for", "served-by")
    answers = answered(response_head(), *chunks, response_body(end=True), mode=mode, rewrite=rewrite)
    assert given_back(answers[1:]) == RESTORED


def test_model_is_named_back_across_chunks_that_are_replaced() -> None:
    chunks = [response_body(chunk) for chunk in SPLIT]
    rewrite = ("asked-for", "served-by")
    answers = answered(response_head(), *chunks, response_body(end=True), mode=STREAMED, rewrite=rewrite)
    assert len(answers) == 1 + len(chunks) + 1
    given = [
        chunk.response_body.body if leaves_body(answer) else common_of(answer).body_mutation.body
        for chunk, answer in zip([*chunks, response_body()], answers[1:], strict=True)
    ]
    assert b"".join(given) == RESTORED


@pytest.mark.parametrize("mode", [BUFFERED, BUFFERED_PARTIAL])
def test_model_is_named_back_in_a_whole_body_with_its_new_length(mode: int) -> None:
    whole = response_body(b"".join(SPLIT), end=True)
    answers = answered(response_head(), whole, mode=mode, rewrite=("asked-for", "served-by"))
    assert common_of(answers[1]).body_mutation.body == RESTORED
    assert headers_set(answers[1])["content-length"] == str(len(RESTORED))


def test_length_of_a_response_that_may_change_is_not_announced() -> None:
    answers = answered(response_head(), mode=DUPLEX, rewrite=("a", "b"))
    assert common_of(answers[0]).header_mutation.remove_headers == ["content-length"]
    assert answered(response_head(), mode=NONE, rewrite=("a", "b"))[0] == pb.ProcessingResponse(
        response_headers=pb.HeadersResponse()
    )


def test_compressed_response_is_passed_on_unread() -> None:
    rewrite = ("asked-for", "served-by")
    chunk = response_body(b'{"model":"served-by"}', end=True)
    answers = answered(response_head(content_encoding="gzip"), chunk, mode=DUPLEX, rewrite=rewrite)
    assert given_back(answers[1:]) == b'{"model":"served-by"}'


def test_what_was_held_back_goes_before_the_trailers() -> None:
    answers = answered(
        response_head(), response_body(b'x"mod'), RESPONSE_TRAILERS, mode=DUPLEX, rewrite=("asked-for", "served-by")
    )
    assert kinds(answers) == ["response_headers", "response_body", "response_body", "response_trailers"]
    assert given_back(answers[1:3]) == b'x"mod'


@pytest.mark.parametrize("mode", [BUFFERED, BUFFERED_PARTIAL])
def test_nothing_is_held_back_from_a_body_whose_rest_is_not_shown(mode: int) -> None:
    rewrite = ("asked-for", "served-by")
    answers = answered(response_head(), response_body(b'x"mod'), mode=mode, rewrite=rewrite)
    assert given_back(answers[1:]) == b'x"mod'


def test_answer_that_ends_with_its_head_is_complete_and_keeps_its_length() -> None:
    routed = make_routed(rewrite=("a", "b"))
    (_, answer) = exchange(
        head(response_mode=DUPLEX, end_of_stream=True), response_head(end=True, content_length="5"), routed=routed
    )
    assert not common_of(answer).header_mutation.remove_headers
    assert routed.response.is_complete


def test_answer_that_a_buffer_has_cut_is_not_complete() -> None:
    routed = make_routed(rewrite=("a", "b"))
    exchange(head(response_mode=BUFFERED_PARTIAL, end_of_stream=True), response_body(b"x"), routed=routed)
    assert not routed.response.is_complete


@pytest.mark.parametrize("mode", [NONE, STREAMED, DUPLEX])
def test_length_of_an_answer_that_stays_as_it_is_stays_announced(mode: int) -> None:
    assert not common_of(answered(response_head(content_length="5"), mode=mode)[0]).header_mutation.remove_headers


def test_whole_answer_in_full_duplex_is_right_for_a_gateway_that_buffered_it() -> None:
    """It may say full duplex and mean BUFFERED: then `content-length` would be compared with no bytes."""
    answers = answered(response_head(), response_body(b"whole", end=True), mode=DUPLEX)
    assert given_back(answers[1:]) == b"whole"
    assert common_of(answers[1]).header_mutation.remove_headers == ["content-length"]


def test_chunks_are_not_split_for_a_gateway_that_does_not_say_full_duplex() -> None:
    """Each message of the others has to be answered by one."""
    answers = answered(response_head(), response_body(b"x" * 130_000), response_body(end=True), mode=NONE)
    assert kinds(answers) == ["response_headers", "response_body", "response_body"]
