"""Calls on `grpc.aio`."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

import grpc
import grpc.aio
from grpc._cython import cygrpc  # the only place that has a name for "the write failed"

from epp.extproc.rpc import OK, Certificate, Handler, Methods, Status, StreamLostError
from epp.serving import address

MAX_PENDING_STREAMS = 100_000
"""Streams that have arrived and are not yet looked at; gRPC by itself cancels some of a burst of more than 1000."""
TURNS = 4
"""Of the event loop after the last message: so long it takes to hear that a gateway went right after it."""
NOTICED_S = 1.0
"""How long a handler may take to end whose gateway has gone."""
CODES = {code.value[0]: code for code in grpc.StatusCode}


class _Context(Protocol):
    """What is used of `grpc.aio.ServicerContext`, which has no types."""

    def read(self) -> Awaitable[bytes]:
        """Return the next message, or `grpc.aio.EOF`."""
        ...

    def write(self, message: bytes) -> Awaitable[None]:
        """Send one message."""
        ...

    def abort(self, code: grpc.StatusCode, details: str) -> Awaitable[None]:
        """End the call with an error."""
        ...


class GrpcCall:
    """A call of `grpc.aio`.

    Its handler has a task of its own, which goes on when `grpc.aio` cancels the call because the gateway has gone: what
    is cancelled while it reads or writes loses the memory of that operation for good (grpc/grpc#43360), and so does
    a status for a gateway that has gone. Envoy goes without waiting for one, so that was most of all streams.
    """

    def __init__(self, context: _Context) -> None:
        self._context = context
        self._gone = asyncio.Event()
        self._answering: asyncio.Task[Status] | None = None

    async def read(self) -> bytes | None:
        """Return the next message, ``None`` after the last one; raises `StreamLostError`."""
        message = await self._context.read()
        if message is not grpc.aio.EOF:
            return message
        for _ in range(TURNS):
            await asyncio.sleep(0)
        if self._gone.is_set():
            raise StreamLostError
        return None

    async def write(self, messages: Iterable[bytes]) -> None:
        """Send messages one by one; raises `StreamLostError`."""
        try:
            for message in messages:
                if self._gone.is_set():
                    raise StreamLostError
                await self._context.write(message)
        except cygrpc.ExecuteBatchError as error:
            raise StreamLostError from error

    async def lost(self) -> None:
        """Return when the gateway has gone away."""
        await self._gone.wait()

    def cancel(self) -> None:
        """Raise `asyncio.CancelledError` where the handler waits."""
        if self._answering is not None:
            self._answering.cancel()

    async def answer(self, handler: Handler) -> Status:
        """Let a handler answer; when it is cancelled, the handler has a moment to notice that the gateway has gone."""
        answering = self._answering = asyncio.get_running_loop().create_task(_answer(handler, self))
        try:
            return await asyncio.shield(answering)
        except asyncio.CancelledError:
            self._gone.set()
            await asyncio.wait({answering}, timeout=NOTICED_S)
            raise
        finally:
            answering.cancel()


async def _answer(handler: Handler, call: GrpcCall) -> Status:
    return await handler(call)


class GrpcServer:
    """Serves methods.

    Port sharing is off: a second picker on the same port must fail loudly instead of getting half of the streams.
    """

    def __init__(self, methods: Methods, *, certificate: Certificate | None, max_message_bytes: int) -> None:
        """Take what is served, TLS or none, and how large a message may be; a larger one ends its stream."""
        options = [
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.server.max_pending_requests", MAX_PENDING_STREAMS),
            ("grpc.server.max_pending_requests_hard_limit", MAX_PENDING_STREAMS),
        ]
        self._certificate = certificate
        self._server = grpc.aio.server(options=options)
        for path, handler in methods.items():
            _, service, method = path.split("/")
            rpc = grpc.stream_stream_rpc_method_handler(_behaviour(handler))
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: rpc}),))

    async def start(self, host: str, port: int) -> None:
        """Listen; raises `OSError` when it cannot. ALPN offers ``h2`` by itself."""
        where = address(host, port)
        try:
            if self._certificate is None:
                self._server.add_insecure_port(where)
            else:
                pair = (self._certificate.key, self._certificate.chain)
                self._server.add_secure_port(where, grpc.ssl_server_credentials([pair]))
        except RuntimeError as error:
            raise OSError(f"cannot listen on {where}: the address is in use or not ours") from error
        await self._server.start()

    async def stop(self, grace_s: float) -> None:
        """Take no more calls, let those in flight finish for so long, then end them."""
        await self._server.stop(grace_s)


def _behaviour(handler: Handler) -> Callable[[object, _Context], Awaitable[None]]:
    """Return a handler as gRPC calls it."""

    async def behave(_requests: object, context: _Context) -> None:
        status = await GrpcCall(context).answer(handler)
        if status is not OK:
            await context.abort(CODES[status.code], status.message)

    return behave
