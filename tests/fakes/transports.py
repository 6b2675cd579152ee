"""A server on either transport whose methods try what a transport has to carry."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field

import grpc.aio

from epp.demo.parts import HOST
from epp.demo.process import free_ports
from epp.extproc.health import Health
from epp.extproc.rpc import OK, Call, Code, RpcError, Status, StreamLostError
from epp.extproc.transport import Transport, make_server

PATIENCE_S = 10.0
MOST = 100_000
TRANSPORTS = [Transport.HYPER, Transport.GRPCIO]
ECHO, TWICE, FAILS, HANGS = "/test.Test/Echo", "/test.Test/Twice", "/test.Test/Fails", "/test.Test/Hangs"
BUSY, DEAF = "/test.Test/Busy", "/test.Test/Deaf"


@dataclass
class Seen:
    """What handlers were told."""

    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


async def echo(call: Call) -> Status:
    while (message := await call.read()) is not None:
        await call.write([message])
    return OK


async def twice(call: Call) -> Status:
    while (message := await call.read()) is not None:
        await call.write(iter([message, message]))
    return OK


async def busy(call: Call) -> Status:
    """Read nothing until the caller goes."""
    await call.lost()
    return OK


async def fails(call: Call) -> Status:
    await call.read()
    return Status(Code.NOT_FOUND, "100 % naught: é")


@dataclass
class Running:
    """A server, and what its handlers have seen."""

    port: int
    seen: Seen
    health: Health
    stop: Callable[[float], Coroutine[None, None, None]]

    def channel(self) -> grpc.aio.Channel:
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        return grpc.aio.insecure_channel(f"{HOST}:{self.port}", options=options)


@contextlib.asynccontextmanager
async def running(transport: Transport) -> AsyncIterator[Running]:
    seen, health = Seen(), Health()

    async def hangs(call: Call) -> Status:
        try:
            await call.read()
            waiting = asyncio.ensure_future(call.read())
            await waiting
        except StreamLostError:
            seen.lost.set()
            raise
        except asyncio.CancelledError:
            seen.cancelled.set()
            raise
        finally:
            seen.ended.set()
        return OK

    async def deaf(call: Call) -> Status:
        """Do not listen to whether the caller is there."""
        try:
            await call.read()
            await asyncio.Event().wait()
        finally:
            seen.ended.set()
        return OK

    async def kept(call: Call) -> Status:
        try:
            return await hangs(call)
        except StreamLostError:
            return OK

    async def checked(call: Call) -> Status:
        try:
            return await echo(call)
        except RpcError as error:
            return error.status

    methods = {ECHO: checked, TWICE: twice, FAILS: fails, HANGS: kept, BUSY: busy, DEAF: deaf, **health.methods}
    server = make_server(transport, methods, certificate=None, max_message_bytes=MOST)
    (port,) = free_ports(HOST, [0])
    await server.start(HOST, port)
    try:
        yield Running(port, seen, health, server.stop)
    finally:
        await server.stop(0)
