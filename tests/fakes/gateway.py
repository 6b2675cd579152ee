"""A connection without sockets: frames go in, frames come out, in the turns of the loop that a test says."""

import asyncio
from collections.abc import Iterable
from typing import Any

from hpack import Decoder, Encoder
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from epp.extproc.framing import framed
from epp.extproc.hyper_connection import HyperConnection
from epp.extproc.hyper_server import HyperServer
from epp.extproc.rpc import Methods
from tests.fakes.transports import ECHO, MOST

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._protocol = protocol
        self.written = bytearray()
        self.is_closed = False
        self.is_read = True

    def get_extra_info(self, _name: str, default: Any = None) -> Any:
        return default

    def write(self, data: Any) -> None:
        assert not self.is_closed
        self.written += data

    def close(self) -> None:
        self.is_closed = True
        asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True


class Gateway:
    """A client of one connection that sends what it likes."""

    def __init__(self, methods: Methods) -> None:
        server = HyperServer(methods, certificate=None, max_message_bytes=MOST)
        self.connection: HyperConnection = server.connection()
        self.wire = Wire(self.connection)
        self.connection.connection_made(self.wire)
        self._encoder, self._decoder = Encoder(), Decoder()
        self.connection.data_received(PREFACE + SettingsFrame(0).serialize())

    def send(self, *frames: Frame) -> None:
        """Let them come in the next turn of the loop, and not within a test's task."""
        data = b"".join(frame.serialize() for frame in frames)
        asyncio.get_running_loop().call_soon(self.connection.data_received, data)

    def widen(self, window_bytes: int) -> None:
        """Let so much be sent before anything is acknowledged."""
        window = SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: window_bytes})
        self.send(window, WindowUpdateFrame(0, window_increment=window_bytes))

    def open(self, stream: int, path: str = ECHO, **headers: str) -> None:
        head = {":method": "POST", ":path": path, ":scheme": "http", ":authority": "x"}
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        block = self._encoder.encode((head | {"content-type": "application/grpc"} | more).items())
        self.send(HeadersFrame(stream, block, flags=["END_HEADERS"]))

    def say(self, stream: int, *messages: bytes, is_last: bool = False) -> None:
        data = b"".join(map(framed, messages))
        self.send(DataFrame(stream, data, flags=["END_STREAM"] if is_last else []))

    def violate(self) -> None:
        """Send what no connection may."""
        self.send(DataFrame(101, b"x"))

    def received(self) -> list[Frame]:
        """Return the frames that have come since it was asked the last time."""
        content, frames = bytes(self.wire.written), []
        self.wire.written.clear()
        while content:
            frame, length = Frame.parse_frame_header(memoryview(content[:9]))
            frame.parse_body(memoryview(content[9 : 9 + length]))
            content = content[9 + length :]
            frames.append(frame)
        return frames

    async def answers(self) -> list[Frame]:
        """Return the frames that have come when nothing more happens."""
        for _ in range(10):
            await asyncio.sleep(0)
        return self.received()

    def trailers_of(self, stream: int, frames: Iterable[Frame]) -> dict[str, str]:
        """Return all headers and trailers of a stream."""
        said: dict[str, str] = {}
        for frame in frames:
            if isinstance(frame, HeadersFrame):
                fields = self._decoder.decode(frame.data)
                said |= {str(name): str(value) for name, value in fields if frame.stream_id == stream}
        return said

    def acknowledge(self, frames: Iterable[Frame]) -> None:
        self.send(*(PingFrame(0, one.opaque_data, flags=["ACK"]) for one in frames if isinstance(one, PingFrame)))


def data_of(frames: Iterable[Frame]) -> bytes:
    return b"".join(frame.data for frame in frames if isinstance(frame, DataFrame))


def reasons_of(frames: Iterable[Frame]) -> list[int]:
    return [frame.error_code for frame in frames if isinstance(frame, GoAwayFrame)]
