"""What gateways say and what a session answers: builders for the one, readers of the other."""

from collections.abc import Mapping, Sequence

from google.protobuf import json_format

from epp._pb import external_processor_pb2 as pb
from epp._pb.base_pb2 import HeaderMap, HeaderValue
from epp._pb.processing_mode_pb2 import ProcessingMode
from epp.director import RoutedRequest
from epp.extproc.request_phase import AnyEndpoint
from epp.extproc.session import Session
from epp.plugin import Rejection
from tests.fakes.routed import make_routed, some_endpoint

NONE, STREAMED = ProcessingMode.NONE, ProcessingMode.STREAMED
BUFFERED, BUFFERED_PARTIAL = ProcessingMode.BUFFERED, ProcessingMode.BUFFERED_PARTIAL
DUPLEX = ProcessingMode.FULL_DUPLEX_STREAMED
MAX_BODY_BYTES = 1000_000

TRAILERS = pb.ProcessingRequest(request_trailers=pb.HttpTrailers())
RESPONSE_TRAILERS = pb.ProcessingRequest(response_trailers=pb.HttpTrailers())
DESTINATION = "x-gateway-destination-endpoint"


def head(
    *,
    request_mode: int | None = DUPLEX,
    response_mode: int = NONE,
    end_of_stream: bool = False,
    headers: Mapping[str, str] | None = None,
) -> pb.ProcessingRequest:
    """Request headers; ``request_mode`` is ``None`` for a gateway that sends no ``protocol_config``."""
    message = pb.ProcessingRequest(
        request_headers=pb.HttpHeaders(headers=header_map({":method": "POST"} | dict(headers or {})))
    )
    message.request_headers.end_of_stream = end_of_stream
    if request_mode is not None:
        message.protocol_config.request_body_mode = request_mode  # type: ignore[assignment]
        message.protocol_config.response_body_mode = response_mode  # type: ignore[assignment]
    return message


def header_map(headers: Mapping[str, str]) -> HeaderMap:
    return HeaderMap(headers=[HeaderValue(key=name, raw_value=value.encode()) for name, value in headers.items()])


def body(content: bytes = b"", *, end: bool = False) -> pb.ProcessingRequest:
    return pb.ProcessingRequest(request_body=pb.HttpBody(body=content, end_of_stream=end))


def response_head(*, end: bool = False, served: str | None = None, **headers: str) -> pb.ProcessingRequest:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    names.setdefault(":status", names.pop("status", "200"))
    message = pb.ProcessingRequest(response_headers=pb.HttpHeaders(headers=header_map(names), end_of_stream=end))
    if served is not None:
        message.metadata_context.filter_metadata["envoy.lb"].update({f"{DESTINATION}-served": served})
    return message


def response_body(content: bytes = b"", *, end: bool = False) -> pb.ProcessingRequest:
    return pb.ProcessingRequest(response_body=pb.HttpBody(body=content, end_of_stream=end))


def new_session(*, any_endpoint: AnyEndpoint = some_endpoint, max_body_bytes: int = MAX_BODY_BYTES) -> Session:
    return Session(any_endpoint=any_endpoint, max_body_bytes=max_body_bytes)


def taken(session: Session) -> list[pb.ProcessingResponse]:
    """Return the answers that are due."""
    return [pb.ProcessingResponse.FromString(answer) for answer in session.take_answers()]


def exchange(
    *messages: pb.ProcessingRequest, session: Session | None = None, routed: RoutedRequest | None = None
) -> list[pb.ProcessingResponse]:
    """All answers to the messages; the request is routed as soon as it is complete."""
    session = session or new_session()
    answers: list[pb.ProcessingResponse] = []
    for message in messages:
        try:
            if session.receive(message) is not None:
                session.route(routed or make_routed())
        except Rejection as rejection:
            session.reject(rejection)
        answers += taken(session)
    return answers


def kinds(answers: Sequence[pb.ProcessingResponse]) -> list[str | None]:
    return [answer.WhichOneof("response") for answer in answers]


def common_of(answer: pb.ProcessingResponse) -> pb.CommonResponse:
    common: pb.CommonResponse = getattr(answer, answer.WhichOneof("response") or "").response
    return common


def headers_set(answer: pb.ProcessingResponse) -> dict[str, str]:
    return {one.header.key: one.header.raw_value.decode() for one in common_of(answer).header_mutation.set_headers}


def destination_of(answer: pb.ProcessingResponse) -> str:
    """The endpoint that an answer names, which header and metadata must agree on."""
    named = headers_set(answer)[DESTINATION]
    metadata = json_format.MessageToDict(answer.dynamic_metadata)
    assert metadata == {"envoy.lb": {DESTINATION: named}}
    assert common_of(answer).clear_route_cache
    return named


def given_back(answers: Sequence[pb.ProcessingResponse]) -> bytes:
    """The bytes of body that the answers give back, in order."""
    return b"".join(common_of(answer).body_mutation.streamed_response.body for answer in answers)


def leaves_body(answer: pb.ProcessingResponse) -> bool:
    """Tell whether an answer leaves the body to the gateway as it has it."""
    return not common_of(answer).HasField("body_mutation")
