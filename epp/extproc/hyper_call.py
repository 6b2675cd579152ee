"""A call on an HTTP/2 stream of `httpunk`: hyper's engine without its own event loop glue."""

import asyncio
import types
from collections import deque
from collections.abc import Generator, Iterable
from typing import Any, Protocol

from httpunk._httpunk import H2FrameHeaders, H2Streams
from httpunk.http import HeaderMap

from epp.extproc.framing import MessageReader, framed
from epp.extproc.rpc import Code, RpcError, Status, StreamLostError
from epp.strand import Pause, Strand

WRITE_BYTES = 64 * 1024
"""Answers that belong together go out together up to so many bytes."""
RESPONSE_HEAD = HeaderMap([("content-type", "application/grpc")])
OK_TRAILERS = HeaderMap([("grpc-status", "0")])
_HTTP_OK = 200


class Outlet(Protocol):
    """What sends what calls have written."""

    def act(self, flags: int) -> None:
        """Do what the engine's verdict asks for."""
        ...

    def make_room(self) -> bool:
        """Send what is queued, so that the engine takes more; tells whether anything was."""
        ...


class HyperCall:
    """The engine hands it back with whatever happens to its stream."""

    __slots__ = (
        "_chunks",
        "_engine",
        "_has_ended",
        "_has_head",
        "_is_lost",
        "_outlet",
        "_reader",
        "_waiting",
        "headers",
        "id",
        "path",
        "strand",
    )

    def __init__(self, engine: H2Streams, outlet: Outlet, frame: H2FrameHeaders, *, max_message_bytes: int) -> None:
        self.id = frame.stream_id
        self.path = frame.path or ""
        self.headers = frame.headers
        self._engine = engine
        self._outlet = outlet
        self._reader = MessageReader(max_message_bytes=max_message_bytes)
        self._chunks: deque[tuple[bytes, bool]] = deque()
        """What has come and was not read yet, and whether the engine counts it among many small pieces."""
        self._has_ended = False
        self._has_head = False
        self._is_lost = False
        self._waiting: set[asyncio.Future[None]] = set()
        self.strand: Strand | None = None
        """Its handler, once it runs."""

    async def read(self) -> bytes | None:
        """Return the next message, ``None`` after the last one; raises `StreamLostError` or `RpcError`."""
        reader = self._reader
        while True:
            if reader.held_bytes:
                message = reader.next()
                if message is not None:
                    return message
            if self._chunks:
                chunk = self._take_chunk()
                message = reader.whole(chunk)
                if message is not None:
                    return message
                reader.feed(chunk)
            elif self._is_lost:
                raise StreamLostError
            elif self._has_ended:
                if not reader.is_between:
                    raise RpcError(Code.INTERNAL, "the stream ended within a message")
                return None
            else:
                await self._news()

    async def write(self, messages: Iterable[bytes]) -> None:
        """Send messages, as many as fit in one write."""
        batch: list[bytes] = []
        size = 0
        for message in messages:
            batch.append(message)
            size += len(message)
            if size >= WRITE_BYTES:
                await self._write(framed(*batch))
                batch, size = [], 0
        if batch:
            await self._write(framed(*batch))

    async def lost(self) -> None:
        """Return when the caller has gone away."""
        while not self._is_lost:
            await self._news()

    def cancel(self) -> None:
        """Raise `asyncio.CancelledError` where the handler waits."""
        if self.strand is not None:
            self.strand.cancel()

    def end(self, status: Status) -> None:
        """Send how the call ends; a caller that has gone away does not want to know."""
        if self._is_lost:
            return
        trailers = OK_TRAILERS if status.code is Code.OK and not status.message else _trailers(status)
        if self._has_head:
            verdict = self._engine.send_trailers(self.id, trailers)
        else:
            head = HeaderMap([*RESPONSE_HEAD.items(), *trailers.items()])
            verdict = self._engine.send_response_head(self.id, _HTTP_OK, head, True)  # noqa: FBT003 - the engine's own
        self._outlet.act(verdict.flags)

    def refuse(self, http_status: int) -> None:
        """Answer what is no call of gRPC."""
        verdict = self._engine.send_response_head(self.id, http_status, HeaderMap(), True)  # noqa: FBT003 - the engine's
        self._outlet.act(verdict.flags)

    def received(self, chunk: bytes, *, is_counted: bool) -> None:
        """Take note of bytes that have come; `wake` is to follow, here and with the next two."""
        self._chunks.append((chunk, is_counted))

    def ended(self) -> None:
        """Take note that nothing more comes."""
        self._has_ended = True

    def stopped(self) -> None:
        """Take note that the caller has gone away."""
        self._is_lost = True

    def wake(self) -> None:
        """Let those who wait look again: something has come, or more may be sent."""
        if self._waiting:
            for waiting in self._waiting:
                if not waiting.done():
                    waiting.set_result(None)
        if self.strand is not None:
            self.strand.go_on()

    @types.coroutine
    def _news(self) -> Generator[Any, None, None]:
        if self.strand is not None and self.strand.is_direct:
            yield Pause.NEWS
            return
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            yield from waiting
        finally:
            self._waiting.discard(waiting)

    def _take_chunk(self) -> bytes:
        """Return the oldest chunk, and let the caller send as much again."""
        chunk, is_counted = self._chunks.popleft()
        if is_counted:
            self._engine.release_data_frame(self.id, len(chunk))
        flags = self._engine.release_capacity(self.id, len(chunk))
        if flags:
            self._outlet.act(flags)
        return chunk

    async def _write(self, content: bytes) -> None:
        if self._is_lost:
            raise StreamLostError
        engine, act = self._engine, self._outlet.act
        if not self._has_head:
            verdict = engine.send_response_head(self.id, _HTTP_OK, RESPONSE_HEAD, False)  # noqa: FBT003 - the engine's
            if verdict.stopped is not None:
                raise StreamLostError
            self._has_head = True
            act(verdict.flags)
        sent = 0
        while True:
            verdict = engine.send_data(self.id, content, sent, False)  # noqa: FBT003 - the engine's own
            if verdict.stopped is not None:
                raise StreamLostError
            act(verdict.flags)
            if verdict.done:
                return
            sent += verdict.sent
            if not verdict.sent and not self._outlet.make_room():
                await self._news()


def _trailers(status: Status) -> HeaderMap:
    return HeaderMap([("grpc-status", str(int(status.code))), ("grpc-message", _percent_encoded(status.message))])


def _percent_encoded(text: str) -> str:
    """Return a message as ``grpc-message`` has it: what is not printable ASCII as %XX."""
    return "".join(chr(byte) if 0x20 <= byte <= 0x7E and byte != 0x25 else f"%{byte:02X}" for byte in text.encode())  # noqa: PLR2004
