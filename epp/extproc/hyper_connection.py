"""A connection of a gateway, on hyper's HTTP/2 engine as `httpunk` has it.

The engine does no I/O: bytes go in, frames and bytes to be sent come out, and each step says by flags what is to be
done next. `httpunk` has a driver of its own around it, with tasks and queues for each connection and each stream; this
one does nearly all in the turn of the loop in which bytes come (docs/decisions/0012-transports.md).
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, cast

from httpunk._httpunk import (
    H2_FLAG_CAPACITY,
    H2_FLAG_CONN_DONE,
    H2_FLAG_STOP_ACCEPTING,
    H2_FLAG_WAKE,
    H2_HEADERS_OPENED,
    H2_HEADERS_TRAILERS,
    H2FrameData,
    H2FrameGoAway,
    H2FrameHeaders,
    H2FramePing,
    H2FrameRstStream,
    H2FrameSettings,
    H2FrameStreamError,
    H2FrameWindowUpdate,
    H2ResetVerdict,
    H2Stopped,
    H2StreamError,
)
from httpunk.exceptions import H2Error, H2Reason, fresh_exc

from epp.extproc.hyper_call import HyperCall
from epp.extproc.hyper_engine import make_engine
from epp.serving import keep_alive
from epp.strand import Strands

MAX_UNANSWERED_BYTES = 256 * 1024
"""What is read of a gateway that does not read itself: what it sends may want answers, which have to be kept."""

Serve = Callable[[HyperCall], Coroutine[None, None, None]]


class HyperConnection(asyncio.Protocol):
    """Gives each call to a strand of its own, which goes on with what comes for it."""

    def __init__(self, serve: Serve, connections: set["HyperConnection"], *, max_message_bytes: int) -> None:
        """Take what serves a call, and where this is to be found while it is connected."""
        self._serve = serve
        self._connections = connections
        self._max_message_bytes = max_message_bytes
        self._engine = make_engine()
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._strands = Strands()
        self._takes_no_more = asyncio.Event()
        self._is_lost = asyncio.Event()
        self._news: dict[HyperCall, None] = {}
        """Those for whom something has come in this turn of the loop, in the order in which it came."""
        self._is_done = False
        self._is_ending = False
        """Its calls are being ended: no others are taken."""
        self._is_flushing = False
        """A flush is due at the end of this turn of the loop."""
        self._may_write = True
        self._unanswered_bytes = 0
        """What has come since it may not write."""
        self._takers: Mapping[type, Callable[[Any], None]] = {
            H2FrameData: self._take_data,
            H2FrameHeaders: self._take_headers,
            H2FrameRstStream: self._take_reset,
            H2FrameWindowUpdate: self._take_window,
            H2FrameSettings: self._take_settings,
            H2FramePing: self._take_ping,
            H2FrameGoAway: self._take_goaway,
            H2FrameStreamError: self._take_error,
        }

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; not called where there is no handshake of TLS, as when a probe looks whether the port is open."""
        self._connections.add(self)
        self._transport = cast("asyncio.Transport", transport)
        keep_alive(transport.get_extra_info("socket"))
        self._engine.begin()
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Take what a gateway sends."""
        if self._is_done or self._is_ending:
            return
        if not self._may_write:
            self._read_less(len(data))
        self._is_flushing = True
        try:
            for frame in self._engine.receive(data):
                self._take(frame)
            self._bring_news()
            self.act(self._engine.maybe_goaway_reply())
        except H2Error as error:
            # A violation of the protocol by the whole connection: say so and close it.
            reason = error.args[0] if error.args and isinstance(error.args[0], int) else H2Reason.PROTOCOL_ERROR
            self._bring_news()
            self.act(self._engine.send_goaway(int(reason)))
            self.close()
            self._stop(self._engine.fail(fresh_exc(error)))
        else:
            self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell every call."""
        self._transport = None
        self._stop(self._engine.fail(None if exc is None else fresh_exc(exc)))
        self._takes_no_more.set()
        self._is_lost.set()
        self._connections.discard(self)

    def pause_writing(self) -> None:
        """Keep what is to be sent."""
        self._may_write = False

    def resume_writing(self) -> None:
        """Send on."""
        self._may_write = True
        self._unanswered_bytes = 0
        if self._transport is not None:
            self._transport.resume_reading()
        self._flush()

    def act(self, flags: int) -> None:
        """Do what the engine's verdict asks for."""
        if not flags:
            return
        if flags & H2_FLAG_WAKE and not self._is_flushing:
            self._is_flushing = True
            self._loop.call_soon(self._flush)
        if flags & H2_FLAG_CAPACITY:
            call = self._engine.next_capacity_wake()
            if call is not None:
                self._loop.call_soon(cast("HyperCall", call).wake)
        if flags & H2_FLAG_STOP_ACCEPTING:
            self._takes_no_more.set()
        if flags & H2_FLAG_CONN_DONE:
            self._is_done = True

    def make_room(self) -> bool:
        """Send what is queued to a gateway that reads, within this turn of the loop; tells whether anything was."""
        return self._may_write and self._send()

    async def drain(self) -> None:
        """Ask the gateway for no more calls, close when those that are there have ended; return when all is sent."""
        self.act(self._engine.begin_graceful_shutdown())
        self._flush()
        await self._takes_no_more.wait()
        await self._strands.have_ended()
        self.close()
        await self._is_lost.wait()

    async def cancel(self) -> None:
        """End every call, and close."""
        self._is_ending = True
        self._strands.cancel()
        await self._strands.have_ended()
        self.close()

    def close(self) -> None:
        """Send what is to be sent, and close."""
        self._is_done = True
        self._flush()

    def _read_less(self, received_bytes: int) -> None:
        """Leave a gateway alone that only sends, until it reads."""
        self._unanswered_bytes += received_bytes
        if self._unanswered_bytes > MAX_UNANSWERED_BYTES and self._transport is not None:
            self._transport.pause_reading()

    def _take(self, frame: object) -> None:
        take = self._takers.get(type(frame))
        if take is None:
            return  # priorities, which mean nothing here
        try:
            take(frame)
        except H2StreamError as error:
            stream, reason, initiator = error.args
            if initiator != "remote":
                self._reset(stream, reason)

    def _bring_news(self) -> None:
        """Let calls go on: once for all that has come for them."""
        calls, self._news = self._news, {}
        for call in calls:
            call.wake()

    def _take_headers(self, frame: H2FrameHeaders) -> None:
        call = HyperCall(self._engine, self, frame, max_message_bytes=self._max_message_bytes)
        verdict = self._engine.recv_headers(frame, call)
        if verdict.kind == H2_HEADERS_OPENED:
            self._engine.accepted(call.id)
            if verdict.eof:
                call.ended()
            call.strand = self._strands.begin(self._run(call))
        elif verdict.kind == H2_HEADERS_TRAILERS:
            call = cast("HyperCall", verdict.handle)
            call.ended()
        self._news[call] = None
        self.act(verdict.flags)

    def _take_data(self, frame: H2FrameData) -> None:
        verdict = self._engine.recv_data(frame)
        call = cast("HyperCall | None", verdict.handle)
        if call is not None:
            if verdict.payload is not None:
                call.received(verdict.payload, is_counted=verdict.budgeted)
            if verdict.eof:
                call.ended()
            self._news[call] = None
        self.act(verdict.flags)

    def _take_reset(self, frame: H2FrameRstStream) -> None:
        reset = self._engine.recv_reset(frame)
        if reset is not None:
            call, _, _, flags = reset
            cast("HyperCall", call).stopped()
            self._news[cast("HyperCall", call)] = None
            self.act(flags)

    def _take_window(self, frame: H2FrameWindowUpdate) -> None:
        self._wake(self._engine.recv_window_update(frame))

    def _take_settings(self, frame: H2FrameSettings) -> None:
        _, wakes, flags = self._engine.recv_settings(frame)
        self._wake(wakes)
        self.act(flags)

    def _take_ping(self, frame: H2FramePing) -> None:
        self.act(self._engine.recv_ping(frame))

    def _take_goaway(self, frame: H2FrameGoAway) -> None:
        aborted, flags = self._engine.recv_go_away(frame)
        self._stop(aborted)
        self.act(flags)

    def _take_error(self, frame: H2FrameStreamError) -> None:
        self._reset(frame.stream_id, frame.error_code)

    async def _run(self, call: HyperCall) -> None:
        """Serve a call; one that fails, or is ended, is reset, and others go on."""
        try:
            await self._serve(call)
        except BaseException:
            with contextlib.suppress(H2Error):
                self._act_on_reset(self._engine.reset_stream(call.id, int(H2Reason.INTERNAL_ERROR), "user"))
            raise

    def _reset(self, stream: int, reason: int) -> None:
        """End a stream on which the gateway has violated the protocol."""
        self._act_on_reset(self._engine.reset_on_error(stream, reason))

    def _act_on_reset(self, verdict: H2ResetVerdict) -> None:
        if verdict.handle is not None:
            call = cast("HyperCall", verdict.handle)
            call.stopped()
            self._loop.call_soon(call.wake)
        self.act(verdict.flags)

    def _stop(self, stopped: list[tuple[object, H2Stopped]]) -> None:
        for call, _ in stopped:
            cast("HyperCall", call).stopped()
        self._wake([call for call, _ in stopped])

    def _wake(self, calls: list[object]) -> None:
        """Let them go on one after the other, and not within what another one does."""
        for call in calls:
            self._loop.call_soon(cast("HyperCall", call).wake)

    def _send(self) -> bool:
        """Send all that is queued, in one write; tells whether anything was."""
        if self._transport is None:
            return False
        queued, _ = self._engine.take_pending()
        content = bytes(queued)
        queued.release()
        if content:
            self._transport.write(content)
        self._wake(self._engine.credit_written())
        return bool(content)

    def _flush(self) -> None:
        """Send all that is to be sent; the last of it also to a gateway that is slow to read."""
        self._is_flushing = False
        if self._may_write or self._is_done:
            self._send()
        if self._is_done and self._transport is not None:
            self._transport.close()
            self._transport = None
