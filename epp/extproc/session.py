"""One ext_proc stream's conversation, without I/O.

Messages go in through `Session.receive`, which returns the request when it is complete and wants a decision; answers
come out of `Session.take_answers`. The caller does all reading, waiting and writing. What is answered to a request's
messages is in `request_phase`, to a response's in `response_phase`.
"""

import itertools
from collections.abc import Iterator

from epp._pb import external_processor_pb2 as pb
from epp.director import ArrivedRequest, RoutedRequest
from epp.extproc.messages import Answers
from epp.extproc.metadata import mode_name, subset_hint
from epp.extproc.request_phase import AnyEndpoint, RequestPhase
from epp.extproc.response_phase import ResponsePhase
from epp.plugin import Rejection

_OF_RESPONSE = frozenset({"response_headers", "response_body", "response_trailers"})


class Session:
    """Collects a request, says when it is complete, and answers every message that wants an answer exactly once."""

    def __init__(self, *, any_endpoint: AnyEndpoint, max_body_bytes: int) -> None:
        self._answers: list[Answers] = []
        self._request = RequestPhase(self._answers.append, any_endpoint=any_endpoint, max_body_bytes=max_body_bytes)
        self._response = ResponsePhase(self._answers.append)
        self._routed: RoutedRequest | None = None
        self._is_over = False
        self.is_collecting = True
        """Whether the request is still to come, or a part of it; once it is not, it never is again."""

    @property
    def may_be_waiting(self) -> bool:
        """Tell whether the gateway may be waiting for us: if nothing comes for a while, `lose_patience`."""
        return self.is_collecting and self._request.may_be_waiting

    @property
    def held_bytes(self) -> int:
        """Bytes of request body that are held."""
        return self._request.held_bytes

    @property
    def body_modes(self) -> tuple[str, str]:
        """The body modes that the gateway says it uses, for the request and the response."""
        return mode_name(self._request.mode), mode_name(self._response.mode)

    @property
    def request(self) -> ArrivedRequest:
        """The request as far as it is known."""
        return self._request.arrived()

    def receive(self, message: pb.ProcessingRequest) -> ArrivedRequest | None:
        """Take one message in; returns the request when it became complete by it.

        It is known then as far as it will be, and wants `route` or `reject`. Raises `Rejection` for a request that must
        not go on, which wants `reject` as well.
        """
        if self._is_over:
            return None
        if message.HasField("protocol_config"):
            self._request.mode = message.protocol_config.request_body_mode
            self._response.mode = message.protocol_config.response_body_mode
        kind = message.WhichOneof("request")
        if kind in _OF_RESPONSE:
            self._receive_response(kind, message)
            return None
        if self.is_collecting:
            hint = subset_hint(message)
            if hint is not None:
                self._request.subset = hint
        arrived = self._receive_request(kind, message)
        self.is_collecting = self.is_collecting and self._request.is_collecting
        return arrived

    def lose_patience(self) -> ArrivedRequest | None:
        """Decide on what is there; returns the request if that is what the gateway may be waiting for."""
        if not self.may_be_waiting:
            return None
        self.is_collecting = False
        return self._request.lose_patience()

    def route(self, routed: RoutedRequest) -> None:
        """Answer the complete request with where it goes."""
        self._routed = routed
        self._request.route(routed)

    def reject(self, rejection: Rejection) -> None:
        """Answer the request in place of a model server; the conversation is over with it."""
        self._is_over = True
        self.is_collecting = False
        self._request.reject(rejection)

    @property
    def has_answers(self) -> bool:
        """Tell whether answers are due."""
        return bool(self._answers)

    def take_answers(self) -> Iterator[bytes]:
        """Return the answers that are due, serialized, in the order in which they must be written.

        Each is made when it is its turn: a large body is given back in many of them, and they need not all be there at
        once.
        """
        answers = self._answers[:]
        self._answers.clear()
        return itertools.chain.from_iterable(answers)

    def _receive_request(self, kind: str | None, message: pb.ProcessingRequest) -> ArrivedRequest | None:
        match kind:
            case "request_headers":
                return self._request.receive_headers(message.request_headers)
            case "request_body":
                return self._request.receive_body(message.request_body)
            case "request_trailers":
                return self._request.receive_trailers()
            case _:
                return None

    def _receive_response(self, kind: str | None, message: pb.ProcessingRequest) -> None:
        """Let go of a request that is still incomplete: somebody before the model servers has answered it."""
        if self.is_collecting:
            self.is_collecting = False
            self._request.abandon()
        match kind:
            case "response_body":
                self._response.receive_body(message.response_body, self._routed, may_split=self._request.may_split)
            case "response_headers":
                self._response.receive_headers(message, self._routed)
            case _:
                self._response.receive_trailers(self._routed)
