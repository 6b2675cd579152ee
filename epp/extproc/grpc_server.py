"""Calls on `grpc.aio`."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

import grpc
import grpc.aio
from grpc._cython import cygrpc  # the only place that has a name for "the write failed"

from epp.extproc.rpc import OK, Certificate, Handler, Methods, StreamLostError
from epp.serving import address

MAX_PENDING_STREAMS = 100_000
"""Streams that have arrived and are not yet looked at; gRPC by itself cancels some of a burst of more than 1000."""
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
    """A call of `grpc.aio`."""

    def __init__(self, context: _Context) -> None:
        self._context = context

    async def read(self) -> bytes | None:
        """Return the next message, ``None`` after the last one."""
        message = await self._context.read()
        return None if message is grpc.aio.EOF else message

    async def write(self, messages: Iterable[bytes]) -> None:
        """Send messages one by one."""
        try:
            for message in messages:
                await self._context.write(message)
        except cygrpc.ExecuteBatchError as error:
            raise StreamLostError from error

    async def lost(self) -> None:
        """Wait for ever: `grpc.aio` cancels the task of a call that is lost."""
        await asyncio.Event().wait()


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
        status = await handler(GrpcCall(context))
        if status is not OK:
            await context.abort(CODES[status.code], status.message)

    return behave
