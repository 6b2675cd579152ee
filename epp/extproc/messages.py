"""The answers that a session gives, as protobuf messages."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import msgspec
from google.protobuf.struct_pb2 import Struct

from epp._pb import external_processor_pb2 as pb
from epp._pb.base_pb2 import HeaderValue, HeaderValueOption
from epp._pb.http_status_pb2 import HttpStatus
from epp.extproc.headers import (
    CONTROL_HEADERS,
    DESTINATION,
    DESTINATION_NAMESPACE,
    DROP_REASON,
)
from epp.plugin import Rejection

Answers = Iterator[pb.ProcessingResponse]
Headers = Mapping[str, str]
NO_HEADERS: Headers = MappingProxyType({})

MAX_CHUNK_BYTES = 62_000
"""Largest body chunk in one ``streamed_response``: Envoy takes less than 64 KiB, and this leaves room for the rest."""


def continue_request_headers() -> pb.ProcessingResponse:
    """Say "go on" to request headers, without what the client says about where."""
    answer = pb.ProcessingResponse(request_headers=pb.HeadersResponse())
    answer.request_headers.response.header_mutation.remove_headers.extend((DESTINATION, *CONTROL_HEADERS))
    return answer


def continue_request_trailers() -> pb.ProcessingResponse:
    """Say "go on" to request trailers."""
    return pb.ProcessingResponse(request_trailers=pb.TrailersResponse())


def continue_response_trailers() -> pb.ProcessingResponse:
    """Say "go on" to response trailers."""
    return pb.ProcessingResponse(response_trailers=pb.TrailersResponse())


def route_by_headers(destination: str, headers: Headers = NO_HEADERS) -> pb.ProcessingResponse:
    """Answer request headers with where the request goes."""
    answer = pb.ProcessingResponse(request_headers=pb.HeadersResponse(response=_routed(destination, headers)))
    answer.dynamic_metadata.CopyFrom(_destination_metadata(destination))
    return answer


def route_by_body(destination: str, headers: Headers = NO_HEADERS) -> pb.ProcessingResponse:
    """Answer a request body with where the request goes; the body itself stays as it is."""
    answer = pb.ProcessingResponse(request_body=pb.BodyResponse(response=_routed(destination, headers)))
    answer.dynamic_metadata.CopyFrom(_destination_metadata(destination))
    return answer


def replace_body(common: pb.CommonResponse, body: bytes) -> None:
    """Put another body in the place of the one that a gateway has buffered.

    Envoy answers 500 when a buffered body changes its length and ``content-length`` does not say so.
    """
    common.body_mutation.body = body
    common.header_mutation.set_headers.append(_overwrite("content-length", str(len(body))))


def give_back(common: pb.CommonResponse, body: bytes, *, end_of_stream: bool) -> None:
    """Put a body message's own bytes into its answer, which has to be the only one to that message.

    Full duplex needs the bytes. BUFFERED and BUFFERED_PARTIAL keep the body that the gateway has and ignore them,
    provided that ``content-length`` is gone, which would be compared with them. STREAMED takes them for a body that
    comes in one message; the second of several is an error there.
    """
    common.body_mutation.streamed_response.body = body
    common.body_mutation.streamed_response.end_of_stream = end_of_stream
    common.header_mutation.remove_headers.append("content-length")


def stream_request_body(body: bytes, *, end_of_stream: bool) -> Iterator[pb.ProcessingResponse]:
    """Give a collected request body back in chunks, the last one marked when ``end_of_stream``."""
    for chunk, is_last in _chunks(body):
        yield pb.ProcessingResponse(request_body=_streamed(chunk, end_of_stream=end_of_stream and is_last))


def stream_response_body(body: bytes, *, end_of_stream: bool) -> Iterator[pb.ProcessingResponse]:
    """Give one chunk of a response body back."""
    for chunk, is_last in _chunks(body):
        yield pb.ProcessingResponse(response_body=_streamed(chunk, end_of_stream=end_of_stream and is_last))


def answer_response_headers(headers: Headers, *, drops_length: bool) -> pb.ProcessingResponse:
    """Answer response headers; ``drops_length`` when the body may leave with another length than it came with."""
    answer = pb.ProcessingResponse(response_headers=pb.HeadersResponse())
    if headers or drops_length:
        mutation = answer.response_headers.response.header_mutation
        mutation.set_headers.extend(_overwrite(name, value) for name, value in headers.items())
        if drops_length:
            mutation.remove_headers.append("content-length")
    return answer


def reject(rejection: Rejection) -> pb.ProcessingResponse:
    """Answer the client in place of a model server, in the error shape of the OpenAI API."""
    refusal = rejection.refusal
    error = {"message": rejection.message, "type": refusal.error_type, "code": refusal.status, "param": rejection.param}
    headers = [("content-type", "application/json"), (DROP_REASON, rejection.reason.value)]
    if refusal.retry_after_s is not None:
        headers.append(("retry-after", str(refusal.retry_after_s)))
    return pb.ProcessingResponse(
        immediate_response=pb.ImmediateResponse(
            status=HttpStatus(code=refusal.status),  # type: ignore[arg-type] # an open enum
            headers=pb.HeaderMutation(set_headers=[_overwrite(name, value) for name, value in headers]),
            body=msgspec.json.encode({"error": error}),
            details=rejection.reason.value,
        )
    )


def _routed(destination: str, headers: Headers) -> pb.CommonResponse:
    set_headers = [_overwrite(name, value) for name, value in ({DESTINATION: destination} | dict(headers)).items()]
    removed = [name for name in CONTROL_HEADERS if name not in headers] if headers else CONTROL_HEADERS
    mutation = pb.HeaderMutation(set_headers=set_headers, remove_headers=removed)
    return pb.CommonResponse(header_mutation=mutation, clear_route_cache=True)


def _destination_metadata(destination: str) -> Struct:
    metadata = Struct()
    metadata.get_or_create_struct(DESTINATION_NAMESPACE)[DESTINATION] = destination
    return metadata


def _overwrite(name: str, value: str) -> HeaderValueOption:
    return HeaderValueOption(
        header=HeaderValue(key=name, raw_value=value.encode()),
        append_action=HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
    )


def _streamed(chunk: bytes, *, end_of_stream: bool) -> pb.BodyResponse:
    streamed = pb.StreamedBodyResponse(body=chunk, end_of_stream=end_of_stream)
    return pb.BodyResponse(response=pb.CommonResponse(body_mutation=pb.BodyMutation(streamed_response=streamed)))


def _chunks(body: bytes) -> Iterator[tuple[bytes, bool]]:
    """Yield the body in pieces that fit, and whether each is the last; an empty body is one empty piece."""
    starts: Sequence[int] = range(0, len(body), MAX_CHUNK_BYTES) or (0,)
    for start in starts:
        yield body[start : start + MAX_CHUNK_BYTES], start == starts[-1]
