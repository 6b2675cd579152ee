"""Calls on `httpunk`: hyper's HTTP/2 engine, driven by asyncio.

It costs a fraction of `grpc.aio` (docs/decisions/0012-transports.md). What gRPC adds to HTTP/2 is small and is here and
in `hyper_call`: framing, status in trailers, deadlines.
"""

import asyncio

from httpunk.http import HeaderMap

from epp.extproc.hyper_call import HyperCall
from epp.extproc.hyper_connection import HyperConnection
from epp.extproc.rpc import Certificate, Code, Handler, Methods, RpcError, Status, StreamLostError
from epp.extproc.tls import server_context
from epp.serving import ALL_INTERFACES, socket_on_all
from epp.strand import in_task

_UNIT_S = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
TURNS = 4
"""Of the event loop, until a connection that was accepted last is among those that are there."""
_LONGEST_TIMEOUT = 9
"""Eight digits and a unit (gRPC over HTTP/2, "Requests")."""


class HyperServer:
    """Serves methods."""

    def __init__(self, methods: Methods, *, certificate: Certificate | None, max_message_bytes: int) -> None:
        """Take what is served, TLS or none, and how large a message may be; a larger one ends its stream."""
        self._methods = methods
        self._tls = None if certificate is None else server_context(certificate)
        self._max_message_bytes = max_message_bytes
        self._connections: set[HyperConnection] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> None:
        """Listen; raises `OSError` when it cannot."""
        loop = asyncio.get_running_loop()
        try:
            if host == ALL_INTERFACES:
                self._server = await loop.create_server(self.connection, sock=socket_on_all(port), ssl=self._tls)
            else:
                self._server = await loop.create_server(self.connection, host, port, ssl=self._tls)
        except OSError as error:
            raise OSError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error

    async def stop(self, grace_s: float) -> None:
        """Take no more connections, let calls finish for so long, and then end them."""
        if self._server is None:
            return
        self._server.close()
        for _ in range(TURNS):
            await asyncio.sleep(0)
        async with asyncio.TaskGroup() as group:
            draining = [group.create_task(one.drain()) for one in list(self._connections)]
            if draining:
                await asyncio.wait(draining, timeout=grace_s)
            for task in draining:
                task.cancel()
        for connection in list(self._connections):
            await connection.cancel()

    def connection(self) -> HyperConnection:
        """Return what serves a connection that has just been made."""
        return HyperConnection(self._serve, self._connections, max_message_bytes=self._max_message_bytes)

    async def _serve(self, call: HyperCall) -> None:
        """Answer one call."""
        if not call.headers.get("content-type", b"").startswith(b"application/grpc"):
            call.refuse(415)
            return
        handler = self._methods.get(call.path)
        if handler is None:
            call.end(Status(Code.UNIMPLEMENTED, f"there is no method {call.path}"))
            return
        deadline_s = _deadline_s(call.headers)
        try:
            status = await (handler(call) if deadline_s is None else _in_time(handler, call, deadline_s))
        except StreamLostError:
            return
        except RpcError as error:
            status = error.status
        call.end(status)


async def _in_time(handler: Handler, call: HyperCall, deadline_s: float) -> Status:
    await in_task()
    try:
        async with asyncio.timeout(deadline_s):
            return await handler(call)
    except TimeoutError:
        return Status(Code.DEADLINE_EXCEEDED, "the deadline that the caller gave has passed")


def _deadline_s(headers: HeaderMap) -> float | None:
    """Return the seconds of a ``grpc-timeout``, ``None`` for none, or one that makes no sense."""
    text = (headers.get("grpc-timeout") or b"").decode("ascii", "replace")
    if not text[:-1].isdecimal() or text[-1] not in _UNIT_S or len(text) > _LONGEST_TIMEOUT:
        return None
    return int(text[:-1]) * _UNIT_S[text[-1]]
