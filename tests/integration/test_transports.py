"""Both transports carry gRPC as its own client, and a client that does what it should not, expect it."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, Event, ResponseReceived, StreamEnded, TrailersReceived

from epp.demo.parts import HOST
from epp.demo.process import free_ports
from epp.extproc.framing import framed
from epp.extproc.health import Health
from epp.extproc.rpc import OK, Call, Code, RpcError, Status, StreamLostError
from epp.extproc.tls import certificate_of
from epp.extproc.transport import Transport, make_server

PATIENCE_S = 10.0
MOST = 100_000
TRANSPORTS = [Transport.HYPER, Transport.GRPCIO]
ECHO, TWICE, FAILS, HANGS = "/test.Test/Echo", "/test.Test/Twice", "/test.Test/Fails", "/test.Test/Hangs"


@dataclass
class Seen:
    """What handlers were told."""

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
        except (StreamLostError, asyncio.CancelledError):
            seen.lost.set()
            raise
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

    methods = {ECHO: checked, TWICE: twice, FAILS: fails, HANGS: kept, **health.methods}
    server = make_server(transport, methods, certificate=None, max_message_bytes=MOST)
    (port,) = free_ports(HOST, [0])
    await server.start(HOST, port)
    try:
        yield Running(port, seen, health, server.stop)
    finally:
        await server.stop(0)


@pytest.fixture(params=TRANSPORTS)
async def server(request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    async with running(request.param) as one:
        yield one


async def collected(call: grpc.aio.StreamStreamCall) -> list[bytes]:
    return [message async for message in call]


@pytest.mark.parametrize("size", [0, 1, 5, 16_384, 65_536, MOST])
async def test_messages_of_any_size_come_back(server: Running, size: int) -> None:
    async with server.channel() as channel:
        messages = [b"a" * size, b"b", b"c" * size]
        assert await collected(channel.stream_stream(ECHO)(iter(messages))) == messages
        assert await collected(channel.stream_stream(TWICE)(iter(messages[:1]))) == messages[:1] * 2


async def test_many_streams_at_a_time_do_not_mix(server: Running) -> None:
    async with server.channel() as channel:
        calls = [collected(channel.stream_stream(ECHO)(iter([b"%d" % number] * 20))) for number in range(300)]
        assert await asyncio.gather(*calls) == [[b"%d" % number] * 20 for number in range(300)]


async def test_status_and_its_message_reach_the_client(server: Running) -> None:
    async with server.channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await collected(channel.stream_stream(FAILS)(iter([b"x"])))
        assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.NOT_FOUND, "100 % naught: é")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await collected(channel.stream_stream("/test.Test/None")(iter([])))
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_message_that_is_too_large_ends_its_stream_only(server: Running) -> None:
    async with server.channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await collected(channel.stream_stream(ECHO)(iter([b"x" * (MOST + 1)])))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await collected(channel.stream_stream(ECHO)(iter([b"x"]))) == [b"x"]


async def test_client_that_cancels_or_goes_away_is_noticed(server: Running) -> None:
    async with server.channel() as channel:
        call = channel.stream_stream(HANGS)()
        await call.write(b"x")
        await asyncio.sleep(0.1)
        call.cancel()
        async with asyncio.timeout(PATIENCE_S):
            await server.seen.ended.wait()
        server.seen.ended.clear()
        call = channel.stream_stream(HANGS)()
        await call.write(b"x")
        await asyncio.sleep(0.1)
    async with asyncio.timeout(PATIENCE_S):
        await server.seen.ended.wait()
    assert server.seen.lost.is_set()


async def test_deadline_of_the_client_ends_the_call(server: Running) -> None:
    async with server.channel() as channel:
        call = channel.stream_stream(HANGS)(timeout=0.2)
        await call.write(b"x")
        assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        async with asyncio.timeout(PATIENCE_S):
            await server.seen.ended.wait()


async def test_health_is_told_and_watched(server: Running) -> None:
    async with server.channel() as channel:
        watch = channel.unary_stream(
            "/grpc.health.v1.Health/Watch",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )(health_pb2.HealthCheckRequest(service="readiness"))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        server.health.set_ready(ready=True)
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        watch.cancel()
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        assert (await check(health_pb2.HealthCheckRequest(service="liveness"))).status == 1
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await check(health_pb2.HealthCheckRequest(service="nobody"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_calls_in_flight_get_their_time_when_it_stops(server: Running) -> None:
    async with server.channel() as channel:
        call = channel.stream_stream(ECHO)()
        await call.write(b"before")
        assert await call.read() == b"before"
        stopping = asyncio.ensure_future(server.stop(PATIENCE_S))
        await asyncio.sleep(0.2)
        await call.write(b"while it drains")
        assert await call.read() == b"while it drains"
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.OK
        async with asyncio.timeout(PATIENCE_S / 2):
            await stopping


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_port_that_is_taken_is_an_error(transport: Transport) -> None:
    async with running(transport) as one:
        other = make_server(transport, {ECHO: echo}, certificate=None, max_message_bytes=MOST)
        with pytest.raises(OSError, match=f"cannot listen on {HOST}:{one.port}"):
            await other.start(HOST, one.port)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_tls(transport: Transport) -> None:
    certificate = certificate_of(None)
    server = make_server(transport, {ECHO: echo}, certificate=certificate, max_message_bytes=MOST)
    (port,) = free_ports(HOST, [0])
    await server.start(HOST, port)
    credentials = grpc.ssl_channel_credentials(root_certificates=certificate.chain)
    async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as channel:
        assert await collected(channel.stream_stream(ECHO)(iter([b"x"]))) == [b"x"]
    await server.stop(0)


class RawClient:
    """HTTP/2 frames, for what gRPC's own client does not do."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection((HOST, port), timeout=PATIENCE_S)
        self.http = H2Connection(H2Configuration(header_encoding="utf-8"))
        self.http.initiate_connection()
        self.flush()

    def close(self) -> None:
        self._socket.close()

    def flush(self) -> None:
        self._socket.sendall(self.http.data_to_send())

    def open(self, path: str, **headers: str) -> int:
        stream = self.http.get_next_available_stream_id()
        head = {":method": "POST", ":path": path, ":scheme": "http", ":authority": "x", "te": "trailers"}
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        self.http.send_headers(stream, [*(head | {"content-type": "application/grpc"} | more).items()])
        return stream

    def until_ended(self) -> dict[str, str]:
        """Return all headers and trailers of the answer, with its data under ``data``."""
        said: dict[str, str] = {}
        data = b""
        while True:
            for event in self._events():
                match event:
                    case ResponseReceived(headers=headers) | TrailersReceived(headers=headers):
                        said |= {str(name): str(value) for name, value in headers or ()}
                    case DataReceived(data=piece):
                        data += piece or b""
                    case StreamEnded():
                        return said | {"data": data.hex()}
                    case ConnectionTerminated():
                        return {"goaway": "1"}
                    case _:
                        pass

    def _events(self) -> list[Event]:
        received = self._socket.recv(65_536)
        assert received, "the connection was closed"
        events = self.http.receive_data(received)
        self.flush()
        return list(events)


async def raw(port: int, converse: Callable[[RawClient], dict[str, str]]) -> dict[str, str]:
    def run() -> dict[str, str]:
        with contextlib.closing(RawClient(port)) as client:
            return converse(client)

    return await asyncio.to_thread(run)


async def test_message_across_frames_and_messages_in_one_frame(server: Running) -> None:
    def converse(client: RawClient) -> dict[str, str]:
        stream = client.open(ECHO)
        text = framed(b"first") + framed(b"") + framed(b"third")
        for byte in text[:7]:
            client.http.send_data(stream, bytes([byte]))
            client.flush()
        client.http.send_data(stream, text[7:], end_stream=True)
        client.flush()
        return client.until_ended()

    said = await raw(server.port, converse)
    assert said["grpc-status"] == "0"
    assert bytes.fromhex(said["data"]) == framed(b"first") + framed(b"") + framed(b"third")


@pytest.mark.parametrize(
    ("content", "statuses"),
    [
        pytest.param(b"\x01\x00\x00\x00\x01x", {"12", "13"}, id="compressed"),
        pytest.param(b"\x07\x00\x00\x00\x01x", {"13"}, id="no such flag"),
        pytest.param(b"\x00\x00\x00\x00\x09x", {"13"}, id="ends within a message"),
    ],
)
async def test_what_is_no_message_ends_its_stream_with_a_status(content: bytes, statuses: set[str]) -> None:
    def converse(client: RawClient) -> dict[str, str]:
        stream = client.open(ECHO)
        client.http.send_data(stream, content, end_stream=True)
        client.flush()
        return client.until_ended()

    async with running(Transport.HYPER) as one:
        said = await raw(one.port, converse)
        assert said["grpc-status"] in statuses


async def test_what_is_no_grpc_is_told_so() -> None:
    def converse(client: RawClient) -> dict[str, str]:
        client.open(ECHO, content_type="text/plain")
        client.flush()
        return client.until_ended()

    async with running(Transport.HYPER) as one:
        assert (await raw(one.port, converse))[":status"] == "415"


async def test_burst_of_resets_does_not_end_the_connection() -> None:
    def converse(client: RawClient) -> dict[str, str]:
        for _ in range(500):
            stream = client.open(ECHO)
            client.http.reset_stream(stream)
            client.flush()
        stream = client.open(ECHO)
        client.http.send_data(stream, framed(b"x"), end_stream=True)
        client.flush()
        return client.until_ended()

    async with running(Transport.HYPER) as one:
        assert (await raw(one.port, converse)).get("grpc-status") == "0"
