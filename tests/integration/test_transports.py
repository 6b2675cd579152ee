"""Both transports carry gRPC as its own client, and a client that goes away, expect it."""

import asyncio
import contextlib
import ssl

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2

from epp.demo.parts import HOST
from epp.demo.process import free_ports
from epp.extproc.tls import certificate_of
from epp.extproc.transport import Transport, make_server
from tests.fakes.transports import (
    BUSY,
    DEAF,
    ECHO,
    FAILS,
    HANGS,
    MOST,
    PATIENCE_S,
    TRANSPORTS,
    TWICE,
    Running,
    echo,
    running,
)


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


async def test_streams_that_are_not_read_do_not_keep_others_waiting(server: Running) -> None:
    """All of a gateway's streams are on one connection: what one leaves unread is no business of another."""
    async with server.channel() as channel, asyncio.TaskGroup() as group:
        waiting = [channel.stream_stream(BUSY)() for _ in range(40)]
        writes = [group.create_task(call.write(b"x" * MOST)) for call in waiting]
        await asyncio.wait(writes, timeout=0.5)
        async with asyncio.timeout(PATIENCE_S):
            assert await collected(channel.stream_stream(ECHO)(iter([b"y" * MOST]))) == [b"y" * MOST]
        for write in writes:
            write.cancel()


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
    assert not server.seen.cancelled.is_set()


async def test_handler_that_does_not_listen_is_ended_when_its_caller_has_gone() -> None:
    async with running(Transport.GRPCIO) as server:
        async with server.channel() as channel:
            await channel.stream_stream(DEAF)().write(b"x")
            await asyncio.sleep(0.1)
        async with asyncio.timeout(PATIENCE_S):
            await server.seen.ended.wait()


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


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_gateway_that_goes_away_over_tls_is_no_warning(
    transport: Transport, caplog: pytest.LogCaptureFixture
) -> None:
    certificate = certificate_of(None)
    server = make_server(transport, {ECHO: echo}, certificate=certificate, max_message_bytes=MOST)
    (port,) = free_ports(HOST, [0])
    await server.start(HOST, port)
    trusting = ssl.create_default_context(cadata=certificate.chain.decode())
    trusting.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection("localhost", port, ssl=trusting)
    writer.close()
    with contextlib.suppress(ssl.SSLError):
        # The server's settings come after the client has said that it closes.
        await writer.wait_closed()
    await server.stop(PATIENCE_S)
    assert caplog.messages == []
