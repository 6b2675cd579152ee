"""The response's half of a session: every message is answered in the mode it came in, nothing is buffered."""

from collections.abc import Callable

from epp._pb import external_processor_pb2 as pb
from epp._pb.processing_mode_pb2 import ProcessingMode
from epp.director import RoutedRequest
from epp.extproc import messages
from epp.extproc.headers import read_head
from epp.extproc.messages import Answers
from epp.extproc.metadata import BUFFERED_MODES, DUPLEX, served_by

_REPLACING_MODES = BUFFERED_MODES | {ProcessingMode.STREAMED}
"""Where a changed body goes as a replacement; full duplex takes it as a stream."""


class ResponsePhase:
    """Answers a response's messages. A stream may begin here: then there is no routed request to tell."""

    def __init__(self, answer: Callable[[Answers], None]) -> None:
        self.mode: int | None = None
        """The response body mode that the gateway says it uses; ``None``: it does not say."""
        self._has_body = False
        self._answer = answer

    def receive_headers(self, message: pb.ProcessingRequest, routed: RoutedRequest | None) -> None:
        """Take the response's head in."""
        headers: messages.Headers = {}
        if routed is not None:
            headers = routed.response_head(read_head(message.response_headers.headers), served_by(message))
            if message.response_headers.end_of_stream:
                routed.response_complete()
        shows_body = self.mode != ProcessingMode.NONE and not message.response_headers.end_of_stream
        drops_length = routed is not None and routed.changes_response and shows_body
        self._answer((messages.answer_response_headers(headers, drops_length=drops_length),))

    def receive_body(self, body: pb.HttpBody, routed: RoutedRequest | None, *, may_split: bool) -> None:
        """Take a piece of the response's body in; ``may_split`` when the gateway is known to stream in full duplex."""
        is_whole = body.end_of_stream and not self._has_body
        self._has_body = True
        chunk = body.body
        if routed is not None:
            chunk = routed.response_chunk(body.body, is_last=body.end_of_stream)
            if self.mode in BUFFERED_MODES and not body.end_of_stream:
                # The buffer was too small, or trailers follow: nothing can be held back for what is not shown.
                chunk += routed.release_held()
        if self.mode == DUPLEX and may_split and not (is_whole and len(chunk) <= messages.MAX_CHUNK_BYTES):
            self._answer(messages.stream_body(messages.RESPONSE_BODY, chunk, end_of_stream=body.end_of_stream))
        else:
            self._answer((self._body_answer(body, chunk, is_whole=is_whole),))

    def receive_trailers(self, routed: RoutedRequest | None) -> None:
        """Take the response's trailers in: they end the body, so what was held back of it goes first."""
        rest = b""
        if routed is not None:
            rest = routed.release_held()
            routed.response_complete()
        if rest and self.mode not in _REPLACING_MODES:
            self._answer(messages.stream_body(messages.RESPONSE_BODY, rest, end_of_stream=False))
        self._answer((messages.go_on(messages.RESPONSE_TRAILERS),))

    def _body_answer(self, body: pb.HttpBody, chunk: bytes, *, is_whole: bool) -> bytes:
        """Return the one answer to a message; ``is_whole``: the gateway may have collected the body for it."""
        kind, is_buffered = messages.RESPONSE_BODY, is_whole and self.mode in BUFFERED_MODES
        if chunk != body.body and self.mode in _REPLACING_MODES:
            return messages.replace_body(kind, chunk, is_buffered=is_buffered)
        if is_buffered or self.mode == ProcessingMode.STREAMED:
            return messages.go_on(kind)
        return messages.give_back(kind, chunk, end_of_stream=body.end_of_stream)
