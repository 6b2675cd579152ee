"""Answers are what protobuf would have written."""

import pytest
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st

from epp._pb import external_processor_pb2 as pb
from epp._pb.base_pb2 import HeaderValue, HeaderValueOption
from epp.extproc import messages
from epp.extproc.encoding import varint
from epp.extproc.headers import CONTROL_HEADERS, DESTINATION

NAMES = st.text("abc-xyz", min_size=1, max_size=40)
HEADERS = st.dictionaries(NAMES | st.sampled_from(CONTROL_HEADERS), st.text(max_size=200), max_size=3)
DESTINATIONS = st.text("0123456789.:,[]abcdef", min_size=1, max_size=300)
BODIES = st.binary(max_size=300) | st.integers(16_300, 16_400).map(bytes)
KINDS = {messages.REQUEST_BODY: "request_body", messages.RESPONSE_BODY: "response_body"}


def option(name: str, value: str) -> HeaderValueOption:
    overwrite = HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
    return HeaderValueOption(header=HeaderValue(key=name, raw_value=value.encode()), append_action=overwrite)


def routed(destination: str, headers: dict[str, str]) -> pb.CommonResponse:
    mutation = pb.HeaderMutation(
        set_headers=[option(name, value) for name, value in ({DESTINATION: destination} | headers).items()],
        remove_headers=[name for name in CONTROL_HEADERS if name not in headers],
    )
    return pb.CommonResponse(header_mutation=mutation, clear_route_cache=True)


def metadata(destination: str) -> Struct:
    named = Struct()
    named.get_or_create_struct("envoy.lb")[DESTINATION] = destination
    return named


def streamed(body: bytes, *, end_of_stream: bool) -> pb.BodyMutation:
    return pb.BodyMutation(streamed_response=pb.StreamedBodyResponse(body=body, end_of_stream=end_of_stream))


def read(answer: bytes) -> pb.ProcessingResponse:
    return pb.ProcessingResponse.FromString(answer)


def body_answer(kind: bytes, common: pb.CommonResponse) -> pb.ProcessingResponse:
    return pb.ProcessingResponse(**{KINDS[kind]: pb.BodyResponse(response=common)})  # type: ignore[arg-type]


@given(DESTINATIONS, HEADERS)
def test_route_by_headers(destination: str, headers: dict[str, str]) -> None:
    assert read(messages.route_by_headers(destination, headers)) == pb.ProcessingResponse(
        request_headers=pb.HeadersResponse(response=routed(destination, headers)),
        dynamic_metadata=metadata(destination),
    )


@given(DESTINATIONS, HEADERS, st.none() | BODIES, st.none() | BODIES)
def test_route_by_body(
    destination: str, headers: dict[str, str], new_body: bytes | None, given_back: bytes | None
) -> None:
    common = routed(destination, headers)
    if new_body is not None:
        common = routed(destination, headers | {"content-length": str(len(new_body))})
        common.body_mutation.body = new_body
    elif given_back is not None:
        common.body_mutation.CopyFrom(streamed(given_back, end_of_stream=False))
        common.header_mutation.remove_headers.append("content-length")
    answer = messages.route_by_body(destination, headers, new_body=new_body, given_back=given_back)
    assert read(answer) == pb.ProcessingResponse(
        request_body=pb.BodyResponse(response=common), dynamic_metadata=metadata(destination)
    )


@pytest.mark.parametrize("kind", KINDS)
@given(body=BODIES, is_last=st.booleans())
def test_body_that_is_given_back(kind: bytes, body: bytes, *, is_last: bool) -> None:
    common = pb.CommonResponse(body_mutation=streamed(body, end_of_stream=is_last))
    (one,) = messages.stream_body(kind, body, end_of_stream=is_last)
    assert read(one) == body_answer(kind, common)
    common.header_mutation.remove_headers.append("content-length")
    assert read(messages.give_back(kind, body, end_of_stream=is_last)) == body_answer(kind, common)


@pytest.mark.parametrize("kind", KINDS)
@given(body=BODIES)
def test_body_that_is_replaced(kind: bytes, body: bytes) -> None:
    common = pb.CommonResponse(body_mutation=pb.BodyMutation(body=body))
    assert read(messages.replace_body(kind, body, is_buffered=False)) == body_answer(kind, common)
    common.header_mutation.set_headers.append(option("content-length", str(len(body))))
    assert read(messages.replace_body(kind, body, is_buffered=True)) == body_answer(kind, common)


@given(headers=HEADERS, drops_length=st.booleans())
def test_response_headers(headers: dict[str, str], *, drops_length: bool) -> None:
    expected = pb.ProcessingResponse(response_headers=pb.HeadersResponse())
    if headers or drops_length:
        mutation = expected.response_headers.response.header_mutation
        mutation.set_headers.extend(option(name, value) for name, value in headers.items())
        mutation.remove_headers.extend(["content-length"] * drops_length)
    assert read(messages.answer_response_headers(headers, drops_length=drops_length)) == expected


def test_going_on() -> None:
    assert read(messages.go_on(messages.REQUEST_TRAILERS)) == pb.ProcessingResponse(
        request_trailers=pb.TrailersResponse()
    )
    assert read(messages.go_on(messages.RESPONSE_TRAILERS)) == pb.ProcessingResponse(
        response_trailers=pb.TrailersResponse()
    )
    assert read(messages.go_on(messages.RESPONSE_BODY)) == pb.ProcessingResponse(response_body=pb.BodyResponse())
    expected = pb.ProcessingResponse(request_headers=pb.HeadersResponse())
    expected.request_headers.response.header_mutation.remove_headers.extend((DESTINATION, *CONTROL_HEADERS))
    assert read(messages.continue_request_headers()) == expected


@pytest.mark.parametrize(
    ("number", "written"),
    [(0, b"\x00"), (127, b"\x7f"), (128, b"\x80\x01"), (300, b"\xac\x02"), (2**21, b"\x80\x80\x80\x01")],
)
def test_lengths_are_written_in_groups_of_seven_bits(number: int, written: bytes) -> None:
    assert varint(number) == written
