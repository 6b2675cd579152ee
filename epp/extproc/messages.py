"""The answers that a session gives, as the bytes of protobuf messages."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType

import msgspec

from epp._pb import external_processor_pb2 as pb
from epp._pb.base_pb2 import HeaderValue, HeaderValueOption
from epp._pb.http_status_pb2 import HttpStatus
from epp.extproc.encoding import choice, field, flag, tag, varint, wrapped
from epp.extproc.headers import (
    CONTROL_HEADERS,
    DESTINATION,
    DESTINATION_NAMESPACE,
    DROP_REASON,
)
from epp.plugin import Rejection

Answers = Iterable[bytes]
"""`ProcessingResponse`s, serialized."""
Headers = Mapping[str, str]
NO_HEADERS: Headers = MappingProxyType({})

MAX_CHUNK_BYTES = 62_000
"""Largest body chunk in one ``streamed_response``: Envoy takes less than 64 KiB, and this leaves room for the rest."""

REQUEST_HEADERS, RESPONSE_HEADERS, REQUEST_BODY, RESPONSE_BODY, REQUEST_TRAILERS, RESPONSE_TRAILERS = map(
    tag, range(1, 7)
)
"""Fields of `ProcessingResponse`: which message an answer is to."""
_METADATA = tag(8)
_RESPONSE = tag(1)
_HEADER_MUTATION, _BODY_MUTATION, _CLEAR_ROUTE_CACHE = tag(2), tag(3), flag(5)
_SET_HEADERS, _REMOVE_HEADERS = tag(1), tag(2)
_HEADER, _KEY, _RAW_VALUE, _OVERWRITE = tag(1), tag(1), tag(3), choice(3, HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD)
_BODY, _STREAMED = tag(1), tag(3)
_CHUNK, _END_OF_STREAM = tag(1), flag(2)
_FIELDS, _ENTRY_KEY, _ENTRY_VALUE, _STRING_VALUE, _STRUCT_VALUE = tag(1), tag(1), tag(2), tag(3), tag(5)


def _removal(names: Iterable[str]) -> bytes:
    return b"".join(field(_REMOVE_HEADERS, name.encode()) for name in names)


_NO_CONTROLS = _removal(CONTROL_HEADERS)
_NO_LENGTH = _removal(["content-length"])


def continue_request_headers() -> bytes:
    """Say "go on" to request headers, without what the client says about where."""
    return wrapped((_RESPONSE, REQUEST_HEADERS), _common(_removal([DESTINATION]) + _NO_CONTROLS))


def go_on(kind: bytes) -> bytes:
    """Say "go on" to a message, and leave what it shows as it is."""
    return field(kind, b"")


def route_by_headers(destination: str, headers: Headers = NO_HEADERS) -> bytes:
    """Answer request headers with where the request goes."""
    if not headers:
        return _route_by_headers(destination)
    common = _common(_routed(destination, headers), _CLEAR_ROUTE_CACHE)
    return wrapped((_RESPONSE, REQUEST_HEADERS), common) + _destination_metadata(destination)


@lru_cache(maxsize=1024)
def _route_by_headers(destination: str) -> bytes:
    """Return the answer of most requests: there are as many of them as endpoints."""
    common = _common(_routed(destination, NO_HEADERS), _CLEAR_ROUTE_CACHE)
    return wrapped((_RESPONSE, REQUEST_HEADERS), common) + _destination_metadata(destination)


def route_by_body(
    destination: str, headers: Headers = NO_HEADERS, *, new_body: bytes | None = None, given_back: bytes | None = None
) -> bytes:
    """Answer a request body with where the request goes; see `replace_body` and `give_back` for what becomes of it."""
    body = b""
    if new_body is not None:
        headers = {**headers, "content-length": str(len(new_body))}
        body = wrapped((_BODY, _BODY_MUTATION), new_body)
    mutation = _routed(destination, headers)
    if new_body is None and given_back is not None:
        mutation += _NO_LENGTH
        body = wrapped((_STREAMED, _BODY_MUTATION), *_piece(given_back, end_of_stream=False))
    common = _common(mutation, body, _CLEAR_ROUTE_CACHE)
    return wrapped((_RESPONSE, REQUEST_BODY), common) + _destination_metadata(destination)


def replace_body(kind: bytes, body: bytes, *, is_buffered: bool) -> bytes:
    """Put another body in the place of the one in a message, or, where that is buffered, of the whole one.

    Envoy answers 500 when a buffered body changes its length and ``content-length`` does not say so.
    """
    mutation = _overwrite("content-length", str(len(body))) if is_buffered else b""
    return wrapped((_RESPONSE, kind), _common(mutation, wrapped((_BODY, _BODY_MUTATION), body)))


def give_back(kind: bytes, body: bytes, *, end_of_stream: bool) -> bytes:
    """Put a body message's own bytes into its answer, which has to be the only one to that message.

    Full duplex needs the bytes. BUFFERED and BUFFERED_PARTIAL keep the body that the gateway has and ignore them,
    provided that ``content-length`` is gone, which would be compared with them. STREAMED takes them for a body that
    comes in one message; the second of several is an error there.
    """
    piece = wrapped((_STREAMED, _BODY_MUTATION), *_piece(body, end_of_stream=end_of_stream))
    return wrapped((_RESPONSE, kind), _common(_NO_LENGTH, piece))


def stream_body(kind: bytes, body: bytes, *, end_of_stream: bool) -> Answers:
    """Give a body, or a piece of one, back in chunks, the last one marked when ``end_of_stream``."""
    if len(body) <= MAX_CHUNK_BYTES:
        return (_chunk(kind, body, end_of_stream=end_of_stream),)
    last = (len(body) - 1) // MAX_CHUNK_BYTES * MAX_CHUNK_BYTES
    return (
        _chunk(kind, body[start : start + MAX_CHUNK_BYTES], end_of_stream=end_of_stream and start == last)
        for start in range(0, len(body), MAX_CHUNK_BYTES)
    )


def answer_response_headers(headers: Headers, *, drops_length: bool) -> bytes:
    """Answer response headers; ``drops_length`` when the body may leave with another length than it came with."""
    if not headers and not drops_length:
        return go_on(RESPONSE_HEADERS)
    mutation = b"".join(_overwrite(name, value) for name, value in headers.items())
    return wrapped((_RESPONSE, RESPONSE_HEADERS), _common(mutation + _NO_LENGTH if drops_length else mutation))


def reject(rejection: Rejection) -> bytes:
    """Answer the client in place of a model server, in the error shape of the OpenAI API."""
    refusal = rejection.refusal
    error = {"message": rejection.message, "type": refusal.error_type, "code": refusal.status, "param": rejection.param}
    headers = {"content-type": "application/json", DROP_REASON: rejection.reason.value}
    if refusal.retry_after_s is not None:
        headers["retry-after"] = str(refusal.retry_after_s)
    options = [
        HeaderValueOption(
            header=HeaderValue(key=name, raw_value=value.encode()),
            append_action=HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
        )
        for name, value in headers.items()
    ]
    immediate = pb.ImmediateResponse(
        status=HttpStatus(code=refusal.status),  # type: ignore[arg-type] # an open enum
        headers=pb.HeaderMutation(set_headers=options),
        body=msgspec.json.encode({"error": error}),
        details=rejection.reason.value,
    )
    return pb.ProcessingResponse(immediate_response=immediate).SerializeToString()


def _common(headers: bytes, *more: bytes) -> bytes:
    """Return the content of a `CommonResponse`: a mutation of headers, none when empty, and further fields."""
    return b"".join((field(_HEADER_MUTATION, headers) if headers else b"", *more))


def _chunk(kind: bytes, chunk: bytes, *, end_of_stream: bool) -> bytes:
    if end_of_stream:
        return _chunk_head(kind, len(chunk), 1) + chunk + _END_OF_STREAM
    return _chunk_head(kind, len(chunk), 0) + chunk


@lru_cache(maxsize=4096)
def _chunk_head(kind: bytes, length: int, is_last: int) -> bytes:
    """Return what comes before a chunk, which depends on its length alone: streamed answers come in few lengths."""
    answer = wrapped((_STREAMED, _BODY_MUTATION, _RESPONSE, kind), *_piece(bytes(length), end_of_stream=bool(is_last)))
    return answer[: len(answer) - length - is_last * len(_END_OF_STREAM)]


def _piece(chunk: bytes, *, end_of_stream: bool) -> tuple[bytes, ...]:
    """Return the content of a `StreamedBodyResponse`, in parts."""
    head = (_CHUNK + varint(len(chunk)), chunk) if chunk else ()
    return (*head, _END_OF_STREAM) if end_of_stream else head


def _routed(destination: str, headers: Headers) -> bytes:
    if not headers:
        return _overwrite(DESTINATION, destination) + _NO_CONTROLS
    set_headers = {DESTINATION: destination, **headers}
    removed = [name for name in CONTROL_HEADERS if name not in headers]
    return b"".join(_overwrite(name, value) for name, value in set_headers.items()) + _removal(removed)


def _destination_metadata(destination: str) -> bytes:
    named = _entry(DESTINATION, field(_STRING_VALUE, destination.encode()))
    return field(_METADATA, _entry(DESTINATION_NAMESPACE, field(_STRUCT_VALUE, named)))


def _entry(key: str, value: bytes) -> bytes:
    """Return a `Struct` with one member."""
    return field(_FIELDS, field(_ENTRY_KEY, key.encode()) + field(_ENTRY_VALUE, value))


def _overwrite(name: str, value: str) -> bytes:
    header = field(_KEY, name.encode()) + (field(_RAW_VALUE, value.encode()) if value else b"")
    return field(_SET_HEADERS, field(_HEADER, header) + _OVERWRITE)
