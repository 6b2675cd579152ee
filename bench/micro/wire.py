"""What a request costs on the `hyper` transport, without a network: frames in, frames out.

A gateway's frames as Envoy sends them for a request in full duplex, response headers only: what it has to say of the
request at once, of the answer later, and then no more.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from hpack import Encoder
from hyperframe.frame import DataFrame, Frame, HeadersFrame, RstStreamFrame, SettingsFrame, WindowUpdateFrame
from request import messages_of

from epp.extproc.framing import framed
from epp.extproc.hyper_connection import HyperConnection
from epp.extproc.hyper_server import HyperServer
from epp.extproc.rpc import METHOD, Handler

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
WINDOW_BYTES = 2**24
MOST_BYTES = 2**31 - 2**17
HEAD = {":method": "POST", ":scheme": "http", ":path": METHOD, ":authority": "epp", "content-type": "application/grpc"}
NO_ERROR = 0
REQUESTS = 64
"""Made before the first is sent: what a gateway does is not to be counted."""


class Wire(asyncio.Transport):
    """Counts what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written_bytes = 0

    def get_extra_info(self, _name: str, default: object = None) -> object:
        """Know nothing."""
        return default

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take note of what is sent."""
        self.written_bytes += len(data)


class Gateway:
    """One connection, and so many streams on it, one after the other."""

    def __init__(self, connection: HyperConnection, messages: Sequence[bytes]) -> None:
        self._connection = connection
        self._wire = Wire()
        self._least_bytes = sum(map(len, messages)) // 2
        encoder = Encoder()
        self._streams = iter([_stream(number, encoder, messages) for number in range(1, 2 * REQUESTS, 2)])
        connection.connection_made(self._wire)
        window = SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: WINDOW_BYTES})
        more = WindowUpdateFrame(0, window_increment=MOST_BYTES)
        connection.data_received(PREFACE + window.serialize() + more.serialize())

    async def request(self) -> None:
        """Send a request; raises `RuntimeError` when it is not answered."""
        before = self._wire.written_bytes
        for received in next(self._streams):
            self._connection.data_received(received)
        if self._wire.written_bytes - before < self._least_bytes:
            raise RuntimeError("a request was not answered")


def _stream(number: int, encoder: Encoder, messages: Sequence[bytes]) -> Sequence[bytes]:
    """Return what comes on a stream, turn by turn."""
    head = HeadersFrame(number, encoder.encode(HEAD.items()), flags=["END_HEADERS"])
    *asked, answered = [DataFrame(number, framed(message)) for message in messages]
    turns: Sequence[Sequence[Frame]] = [[head, *asked], [answered], [RstStreamFrame(number, error_code=NO_ERROR)]]
    return [b"".join(frame.serialize() for frame in frames) for frames in turns]


def make_request(body_bytes: int, handler: Handler) -> Callable[[], Awaitable[None]]:
    """Return what sends a request with a body of this size to a handler."""
    server = HyperServer({METHOD: handler}, certificate=None, max_message_bytes=WINDOW_BYTES)
    return Gateway(server.connection(), messages_of(body_bytes)).request
