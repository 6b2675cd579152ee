"""The request's half of a session: collects it, says when it is complete, answers its messages.

The rules follow the messages that arrive. ``protocol_config`` is a hint that tells the rules apart sooner:

- full duplex, or no hint: the head's answer waits for the whole body. A gateway that waits for that answer itself shows
  by its silence that it does not stream: see `RequestPhase.lose_patience`.
- BUFFERED, BUFFERED_PARTIAL: the gateway sends the body after the head's answer, so that is given at once, with any
  endpoint in it: should the gateway never show a body, or stream it after all, the request has somewhere to go. The
  body's answer names the real one, and Envoy goes by the last.
- NONE, STREAMED: the head alone decides.

A body message that comes after its request was routed gets its own bytes back, except where the gateway says STREAMED:
`messages.give_back` says why.
"""

import enum
from collections.abc import Callable, Sequence

from epp._pb import external_processor_pb2 as pb
from epp._pb.processing_mode_pb2 import ProcessingMode
from epp.director import NO_CONTROLS, ArrivedRequest, RoutedRequest
from epp.extproc import messages
from epp.extproc.headers import read_head, take_controls
from epp.extproc.messages import Answers
from epp.extproc.metadata import BUFFERED_MODES, DUPLEX, HEAD_ONLY_MODES
from epp.plugin import DropReason, Endpoint, Rejection

AnyEndpoint = Callable[[Sequence[str] | None], Endpoint | None]


class Phase(enum.Enum):
    """How far a request is."""

    HEAD = enum.auto()
    BODY = enum.auto()
    DECIDING = enum.auto()
    ANSWERED = enum.auto()
    OVER = enum.auto()


class RequestPhase:
    """Methods that take a message return the request when it is complete by it; answers go to ``answer``."""

    def __init__(self, answer: Callable[[Answers], None], *, any_endpoint: AnyEndpoint, max_body_bytes: int) -> None:
        self.phase = Phase.HEAD
        self.mode: int | None = None
        """The request body mode that the gateway says it uses; ``None``: it does not say."""
        self.subset: Sequence[str] | None = None
        self.held_bytes = 0
        """Bytes of body that are collected and not yet let go."""
        self._answer = answer
        self._any_endpoint = any_endpoint
        self._max_body_bytes = max_body_bytes
        self._head: dict[str, str] = {}
        self._controls = NO_CONTROLS
        self._held: bytes | bytearray = b""
        self._provisional: Endpoint | None = None
        self._is_head_answered = False
        self._is_body_streamed = False
        self._is_body_over = False
        self._gives_back = False
        self._has_trailers = False
        self._has_lost_patience = False

    @property
    def is_collecting(self) -> bool:
        """Tell whether it is still to come, or a part of it."""
        return self.phase is Phase.HEAD or self.phase is Phase.BODY

    @property
    def may_be_waiting(self) -> bool:
        """Tell whether the gateway, saying nothing, may be waiting for the head's answer.

        A model can only be rewritten in a body that is complete, so then the answer waits as long as it takes.
        """
        is_waiting = self.phase is Phase.BODY and not self._is_head_answered and not self._is_body_streamed
        return is_waiting and not self._controls.model_rewrite

    @property
    def may_split(self) -> bool:
        """Tell whether the gateway streams in full duplex, where one message may be answered with several."""
        return self.mode == DUPLEX and not self._has_lost_patience

    def receive_headers(self, headers: pb.HttpHeaders) -> ArrivedRequest | None:
        """Take the request's head in."""
        if self.phase is not Phase.HEAD:
            return None
        self._head = read_head(headers.headers)
        self._controls = take_controls(self._head)
        if headers.end_of_stream:
            # A server that waits for a body here hangs every GET.
            self._is_body_over = True
            return self._complete(b"")
        self.phase = Phase.BODY
        if self.mode in HEAD_ONLY_MODES:
            return self._complete(None)
        if _declared_bytes(self._head) > self._max_body_bytes:
            raise self._too_large()
        if self.mode in BUFFERED_MODES:
            self._answer_head_provisionally()
        return None

    def receive_body(self, body: pb.HttpBody) -> ArrivedRequest | None:
        """Take a piece of the request's body in; raises `Rejection` (413) when it is one too many."""
        if self._is_body_over:
            # Envoy 1.35 and later can send the end of a streamed body twice: what follows the first is noise.
            return None
        self._is_body_over = body.end_of_stream
        if self.phase is Phase.ANSWERED:
            self._answer(self._late_body(body))
        if self.phase is not Phase.BODY:
            return None
        self._hold(body.body)
        if self.held_bytes > self._max_body_bytes:
            raise self._too_large()
        if self._is_head_answered:
            # All of it, or all that the gateway's buffer took - or it streams after all.
            self._gives_back = not body.end_of_stream
            return self._complete(self._collected(), is_cut=self._gives_back)
        self._is_body_streamed = True
        return self._complete(self._collected()) if body.end_of_stream else None

    def receive_trailers(self) -> ArrivedRequest | None:
        """Take the request's trailers in: they end a body in place of its end of stream."""
        if self.phase is not Phase.BODY:
            self._answer((messages.go_on(messages.REQUEST_TRAILERS),))
            return None
        self._is_body_over = self._has_trailers = True
        if not self._is_head_answered:
            return self._complete(self._collected())
        # The head is gone with the provisional endpoint in it, and no body's answer can change that any more.
        self.subset = (self._provisional.host_port,) if self._provisional is not None else ()
        return self._complete(b"")

    def lose_patience(self) -> ArrivedRequest | None:
        """Decide on the head alone: nothing came for a while, so the gateway may be waiting for the head's answer.

        If it was the client that was slow, its body is passed on unread when it comes.
        """
        self._has_lost_patience = True
        return self._complete(None)

    def route(self, routed: RoutedRequest) -> None:
        """Answer the complete request with where it goes."""
        self.phase = Phase.ANSWERED
        destination = ",".join(routed.decision.destinations)
        body, self._held, self.held_bytes = self._collected(), b"", 0
        if self._is_head_answered:
            if body or not self._has_trailers:
                self._answer(self._routed_by_body(destination, routed, body))
        else:
            self._is_head_answered = True
            headers = dict(routed.headers)
            if routed.new_body is not None:
                headers["content-length"] = str(len(routed.new_body))
                body = routed.new_body
            self._answer((messages.route_by_headers(destination, headers),))
            if self._is_body_streamed:
                self._answer(messages.stream_body(messages.REQUEST_BODY, body, end_of_stream=not self._has_trailers))
        if self._has_trailers:
            self._answer((messages.go_on(messages.REQUEST_TRAILERS),))

    def reject(self, rejection: Rejection) -> None:
        """Answer the client in place of a model server."""
        self.abandon()
        self._answer((messages.reject(rejection),))

    def abandon(self) -> None:
        """Let everything go: nothing more that belongs to the request will be answered."""
        self.phase = Phase.OVER
        self._held, self.held_bytes = b"", 0

    def arrived(self, body: bytes | None = None, *, is_cut: bool = False) -> ArrivedRequest:
        """Return the request as far as it is known."""
        return ArrivedRequest(self._head, body, self.subset, is_cut=is_cut, controls=self._controls)

    def _complete(self, body: bytes | None, *, is_cut: bool = False) -> ArrivedRequest:
        self.phase = Phase.DECIDING
        return self.arrived(body, is_cut=is_cut)

    def _collected(self) -> bytes:
        """Return the body so far."""
        self._held = bytes(self._held)
        return self._held

    def _hold(self, piece: bytes) -> None:
        """Keep a piece of the body; a body that comes in one is not copied."""
        if not self._held:
            self._held = piece
        elif piece:
            if isinstance(self._held, bytes):
                self._held = bytearray(self._held)
            self._held += piece
        self.held_bytes = len(self._held)

    def _answer_head_provisionally(self) -> None:
        self._is_head_answered = True
        self._provisional = self._any_endpoint(self.subset)
        if self._provisional is None:
            self._answer((messages.continue_request_headers(),))
        else:
            self._answer((messages.route_by_headers(self._provisional.host_port),))

    def _routed_by_body(self, destination: str, routed: RoutedRequest, body: bytes) -> Answers:
        given_back = body if self._gives_back else None
        yield messages.route_by_body(destination, routed.headers, new_body=routed.new_body, given_back=given_back)

    def _late_body(self, body: pb.HttpBody) -> Answers:
        kind = messages.REQUEST_BODY
        if self.may_split:
            return messages.stream_body(kind, body.body, end_of_stream=body.end_of_stream)
        if self.mode == ProcessingMode.STREAMED:
            return (messages.go_on(kind),)
        return (messages.give_back(kind, body.body, end_of_stream=body.end_of_stream),)

    def _too_large(self) -> Rejection:
        message = f"the request's body is larger than {self._max_body_bytes} bytes, which is the limit here"
        return Rejection(DropReason.BODY_TOO_LARGE, message)


def _declared_bytes(head: dict[str, str]) -> int:
    """Return what ``content-length`` says, 0 when it says nothing sensible."""
    text = head.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0  # noqa: PLR2004 - digits of 2**64
