"""One ext_proc stream's conversation, without I/O.

Messages go in through `Session.receive`, which returns the request when it is complete and wants a decision; answers
come out of `Session.take_answers`. The caller does all reading, waiting and writing.

What Envoy does in each mode was observed on a real one; the rules that follow from it are beside the code that keeps
them. ``protocol_config`` is a hint that only the first message may carry: without it, a body is expected in the mode
that the Endpoint Picker Protocol demands, full duplex.
"""

import enum

from epp._pb import external_processor_pb2 as pb
from epp._pb.processing_mode_pb2 import ProcessingMode
from epp.director import ArrivedRequest
from epp.extproc import messages
from epp.extproc.headers import SUBSET, SUBSET_NAMESPACE
from epp.plugin import Decision, DropReason, Rejection

_BUFFERED_MODES = (ProcessingMode.BUFFERED, ProcessingMode.BUFFERED_PARTIAL)
_HEAD_ONLY_MODES = (ProcessingMode.NONE, ProcessingMode.STREAMED)
_UNROUTABLE_TRAILERS = Rejection(
    DropReason.BAD_REQUEST, "a request with trailers and no body cannot be routed while the gateway buffers bodies"
)
"""By then its headers are answered, and trailers are all that could still be changed."""


class _Phase(enum.Enum):
    HEAD = enum.auto()
    BODY = enum.auto()
    DECIDING = enum.auto()
    ANSWERED = enum.auto()
    REJECTED = enum.auto()


class Session:
    """Collects a request, says when it is complete, and answers every message that wants an answer exactly once."""

    def __init__(self) -> None:
        self._phase = _Phase.HEAD
        self._answers: list[pb.ProcessingResponse] = []
        self._request_mode: int = ProcessingMode.FULL_DUPLEX_STREAMED
        self._response_mode: int = ProcessingMode.FULL_DUPLEX_STREAMED
        self._head: dict[str, str] = {}
        self._body: list[bytes] = []
        self._subset: tuple[str, ...] | None = None
        self._is_head_answered = False
        self._has_streamed_body = False
        self._has_trailers = False

    def receive(self, message: pb.ProcessingRequest) -> ArrivedRequest | None:
        """Take one message in; returns the request when it became complete by it.

        It is known then as far as it will be, and wants `route` or `reject`.
        """
        if self._phase is _Phase.REJECTED:
            return None
        self._note_hints(message)
        match message.WhichOneof("request"):
            case "request_headers":
                return self._receive_request_headers(message.request_headers)
            case "request_body":
                return self._receive_request_body(message.request_body)
            case "request_trailers":
                return self._receive_request_trailers()
            case "response_headers":
                self._answers.append(pb.ProcessingResponse(response_headers=pb.HeadersResponse()))
            case "response_body":
                self._echo_response_body(message.response_body)
            case "response_trailers":
                self._answers.append(pb.ProcessingResponse(response_trailers=pb.TrailersResponse()))
            case None:
                pass
        return None

    def route(self, decision: Decision) -> None:
        """Answer the complete request with where it goes."""
        self._phase = _Phase.ANSWERED
        body, self._body = self._body, []
        destination = ",".join(endpoint.host_port for endpoint in decision.endpoints)
        if not self._is_head_answered:
            self._answers.append(messages.route_by_headers(destination))
        elif body:
            self._answers.append(messages.route_by_body(destination))
        else:
            self.reject(_UNROUTABLE_TRAILERS)
            return
        if self._has_streamed_body:
            self._answers.extend(messages.stream_request_body(b"".join(body), end_of_stream=not self._has_trailers))
        if self._has_trailers:
            self._answer_request_trailers()

    def reject(self, rejection: Rejection) -> None:
        """Answer the complete request in place of a model server; the conversation is over with it."""
        self._phase = _Phase.REJECTED
        self._body.clear()
        self._answers.append(messages.reject(rejection))

    def take_answers(self) -> list[pb.ProcessingResponse]:
        """Return the answers that are due, in the order in which they must be written."""
        answers, self._answers = self._answers, []
        return answers

    def _note_hints(self, message: pb.ProcessingRequest) -> None:
        if message.HasField("protocol_config"):
            self._request_mode = message.protocol_config.request_body_mode
            self._response_mode = message.protocol_config.response_body_mode
        if message.HasField("metadata_context") and self._phase in {_Phase.HEAD, _Phase.BODY}:
            hint = _subset_hint(message)
            self._subset = self._subset if hint is None else hint

    def _receive_request_headers(self, headers: pb.HttpHeaders) -> ArrivedRequest | None:
        if self._phase is not _Phase.HEAD:
            return None
        self._head = {
            header.key.lower(): header.raw_value.decode(errors="replace") if header.raw_value else header.value
            for header in headers.headers.headers
        }
        if headers.end_of_stream:
            # A server that waits for a body here hangs every GET.
            return self._complete(b"")
        if self._request_mode in _HEAD_ONLY_MODES:
            return self._complete(None)
        self._phase = _Phase.BODY
        if self._request_mode in _BUFFERED_MODES:
            # A buffering gateway sends the body only after this answer.
            self._answers.append(messages.continue_request_headers())
            self._is_head_answered = True
        return None

    def _receive_request_body(self, body: pb.HttpBody) -> ArrivedRequest | None:
        if self._phase is not _Phase.BODY:
            self._pass_on_late_body(body)
            return None
        self._body.append(body.body)
        if self._request_mode in _BUFFERED_MODES:
            # All there will be: also when trailers follow, or when the buffer was too small for the rest.
            return self._complete(b"".join(self._body))
        self._has_streamed_body = True
        return self._complete(b"".join(self._body)) if body.end_of_stream else None

    def _pass_on_late_body(self, body: pb.HttpBody) -> None:
        """Answer a piece of body that comes after the decision."""
        match self._request_mode:
            case ProcessingMode.STREAMED:
                self._answers.append(pb.ProcessingResponse(request_body=pb.BodyResponse()))
            case ProcessingMode.NONE:
                # The hint was wrong: this gateway streams its bodies, and an answer without the chunk would eat it.
                self._answers.extend(messages.stream_request_body(body.body, end_of_stream=body.end_of_stream))
            case _:
                # Envoy 1.35 and later can send the end of a streamed body twice: what follows the first is noise.
                pass

    def _receive_request_trailers(self) -> ArrivedRequest | None:
        if self._phase is _Phase.BODY:
            # Trailers end a body in place of its end of stream; they are answered after it.
            self._has_trailers = True
            return self._complete(b"".join(self._body))
        self._answer_request_trailers()
        return None

    def _answer_request_trailers(self) -> None:
        self._answers.append(pb.ProcessingResponse(request_trailers=pb.TrailersResponse()))

    def _echo_response_body(self, body: pb.HttpBody) -> None:
        """Give the chunk back in full duplex, where an answer without it would eat it; otherwise just say "go on"."""
        if self._response_mode == ProcessingMode.FULL_DUPLEX_STREAMED:
            self._answers.extend(messages.stream_response_body(body.body, end_of_stream=body.end_of_stream))
        else:
            self._answers.append(pb.ProcessingResponse(response_body=pb.BodyResponse()))

    def _complete(self, body: bytes | None) -> ArrivedRequest:
        self._phase = _Phase.DECIDING
        return ArrivedRequest(self._head, body, self._subset)


def _subset_hint(message: pb.ProcessingRequest) -> tuple[str, ...] | None:
    """Return the allowed endpoints, each ``ip:port``; ``None`` when the gateway gave no hint.

    The protocol says a list; some gateways send one string with commas.
    """
    namespace = message.metadata_context.filter_metadata.get(SUBSET_NAMESPACE)
    if namespace is None or SUBSET not in namespace.fields:
        return None
    hint = namespace.fields[SUBSET]
    if hint.WhichOneof("kind") == "string_value":
        parts = hint.string_value.split(",")
    else:
        parts = [value.string_value for value in hint.list_value.values]
    return tuple(part.strip() for part in parts if part.strip())
