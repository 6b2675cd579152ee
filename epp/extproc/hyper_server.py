"""Calls on `httpunk`: hyper's HTTP/2 engine, driven by asyncio.

It costs a fraction of `grpc.aio` (docs/decisions/0012-transports.md). What gRPC adds to HTTP/2 is small and is here:
framing, status in trailers, deadlines.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from httpunk.asyncio import H2ServerProtocol, ServerConnections
from httpunk.exceptions import ConnectionClosedError, GoAwayError, H2Error, StreamResetError
from httpunk.h2.server import H2Server

from epp.extproc.framing import MessageReader, framed
from epp.extproc.rpc import Certificate, Code, Methods, RpcError, Status, StreamLostError
from epp.extproc.tls import server_context
from epp.serving import ALL_INTERFACES, socket_on_all

MAX_STREAMS = 30_000
"""On one connection, less than it has windows for; gateways are the operator's own, and use few connections."""
STREAM_WINDOW_BYTES = 64 * 1024
"""What a gateway may send on a stream before it is read."""
CONNECTION_WINDOW_BYTES = 2**31 - 1
"""The largest: what streams that wait for room leave unread must not keep others from being read to their end."""
WRITE_BYTES = 64 * 1024
"""Answers that belong together go out together up to so many bytes."""
KEEPALIVE_S = 60
"""After so long without a packet the kernel asks whether a gateway is still there."""
KEEPALIVE_PROBES = 3
RESPONSE_HEAD = {"content-type": "application/grpc"}
LOST = (StreamResetError, ConnectionClosedError, GoAwayError, H2Error, OSError)
_UNIT_S = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


class HyperCall:
    """A call on an HTTP/2 stream."""

    def __init__(self, request: Any, *, max_message_bytes: int) -> None:  # noqa: ANN401 - httpunk's
        self._request = request
        self._reader = MessageReader(max_message_bytes=max_message_bytes)
        self._chunks: AsyncIterator[bytes] = request.aiter_bytes()
        self._send: Any = None
        self._has_ended = False

    async def read(self) -> bytes | None:
        """Return the next message, ``None`` after the last one; raises `StreamLostError` or `RpcError`."""
        while True:
            message = self._reader.next()
            if message is not None or self._has_ended:
                return message
            try:
                self._reader.feed(await anext(self._chunks))
            except StopAsyncIteration:
                self._has_ended = True
                if not self._reader.is_between:
                    raise RpcError(Code.INTERNAL, "the stream ended within a message") from None
            except LOST as error:
                raise StreamLostError from error

    async def write(self, messages: Iterable[bytes]) -> None:
        """Send messages, as many as fit in one write."""
        parts, size = [], 0
        for message in messages:
            parts.append(framed(message))
            size += len(message)
            if size >= WRITE_BYTES:
                await self._write(b"".join(parts))
                parts, size = [], 0
        if parts:
            await self._write(parts[0] if len(parts) == 1 else b"".join(parts))

    async def end(self, status: Status) -> None:
        """Send how the call ends; a caller that has gone away does not want to know."""
        trailers = {"grpc-status": str(int(status.code))}
        if status.message:
            trailers["grpc-message"] = _percent_encoded(status.message)
        with contextlib.suppress(*LOST):
            if self._send is None:
                await self._request.send_response(200, headers=RESPONSE_HEAD | trailers, end_stream=True)
            else:
                await self._send.send_trailers(trailers)

    async def lost(self) -> None:
        """Return when the caller has gone away."""
        with contextlib.suppress(*LOST):
            await self._request.reset_received()

    async def _write(self, content: bytes) -> None:
        try:
            if self._send is None:
                self._send = await self._request.send_response(200, headers=RESPONSE_HEAD)
            await self._send.send_data(content)
        except LOST as error:
            raise StreamLostError from error


class HyperServer:
    """Serves methods."""

    def __init__(self, methods: Methods, *, certificate: Certificate | None, max_message_bytes: int) -> None:
        """Take what is served, TLS or none, and how large a message may be; a larger one ends its stream."""
        self._methods = methods
        self._tls = None if certificate is None else server_context(certificate)
        self._max_message_bytes = max_message_bytes
        self._connections = ServerConnections()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> None:
        """Listen; raises `OSError` when it cannot."""
        server = self

        class Protocol(H2ServerProtocol):
            """One connection."""

            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)  # type: ignore[no-untyped-call]
                _keep_alive(transport.get_extra_info("socket"))

            async def _make_server(self) -> H2Server:
                return H2Server(
                    self,
                    backend=self._backend,
                    max_concurrent_streams=MAX_STREAMS,
                    max_pending_accept_reset_streams=MAX_STREAMS,
                    max_header_list_size=64 * 1024,
                    initial_window_size=STREAM_WINDOW_BYTES,
                    initial_connection_window_size=CONNECTION_WINDOW_BYTES,
                )

            async def handle(self, request: Any) -> None:  # noqa: ANN401 - httpunk's
                await server.handle(request)

        loop = asyncio.get_running_loop()
        try:
            factory = self._connections.track(Protocol)
            if host == ALL_INTERFACES:
                self._server = await loop.create_server(factory, sock=socket_on_all(port), ssl=self._tls)
            else:
                self._server = await loop.create_server(factory, host, port, ssl=self._tls)
        except OSError as error:
            raise OSError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error

    async def handle(self, request: Any) -> None:  # noqa: ANN401 - httpunk's
        """Answer one call."""
        headers: Mapping[str, bytes] = request.headers
        call = HyperCall(request, max_message_bytes=self._max_message_bytes)
        if not headers.get("content-type", b"").startswith(b"application/grpc"):
            with contextlib.suppress(*LOST):
                await request.send_response(415, end_stream=True)
            return
        handler = self._methods.get(request.path or "")
        if handler is None:
            await call.end(Status(Code.UNIMPLEMENTED, f"there is no method {request.path}"))
            return
        try:
            async with asyncio.timeout(_deadline_s(headers.get("grpc-timeout"))):
                status = await handler(call)
        except TimeoutError:
            status = Status(Code.DEADLINE_EXCEEDED, "the deadline that the caller gave has passed")
        await call.end(status)

    async def stop(self, grace_s: float) -> None:
        """Take no more connections, let calls finish for so long, and then end them."""
        if self._server is not None:
            self._server.close()
            await self._connections.shutdown(timeout=grace_s)


def _deadline_s(said: bytes | None) -> float | None:
    """Return the seconds of a ``grpc-timeout``, ``None`` for none, or one that makes no sense."""
    text = (said or b"").decode("ascii", "replace")
    if not text[:-1].isdecimal() or text[-1] not in _UNIT_S:
        return None
    return int(text[:-1]) * _UNIT_S[text[-1]]


def _percent_encoded(text: str) -> str:
    """Return a message as ``grpc-message`` has it: what is not printable ASCII as %XX."""
    return "".join(chr(byte) if 0x20 <= byte <= 0x7E and byte != 0x25 else f"%{byte:02X}" for byte in text.encode())  # noqa: PLR2004


def _keep_alive(sock: socket.socket | None) -> None:
    if sock is not None and sock.family in {socket.AF_INET, socket.AF_INET6}:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_S // KEEPALIVE_PROBES)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
