"""Both transports, driven frame by frame by a client that does what it should not."""

import asyncio
import contextlib
import socket
from collections.abc import Callable

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, Event, ResponseReceived, StreamEnded, TrailersReceived

from epp.demo.parts import HOST
from epp.demo.process import free_ports
from epp.extproc.framing import framed
from epp.extproc.hyper_server import HyperServer
from epp.extproc.tls import certificate_of
from epp.extproc.transport import Transport
from tests.fakes.transports import ECHO, MOST, PATIENCE_S, Running, echo, running


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


async def test_connection_without_a_handshake_is_not_kept() -> None:
    """As a probe of the port makes it, every few seconds."""
    server = HyperServer({ECHO: echo}, certificate=certificate_of(None), max_message_bytes=MOST)
    (port,) = free_ports(HOST, [0])
    await server.start(HOST, port)
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    assert await reader.read() == b""
    writer.close()
    async with asyncio.timeout(PATIENCE_S):
        await server.stop(MOST)
