"""A client that wants to go within its answer goes, whatever it is answered."""

import asyncio
import contextlib

import pytest
from soak import clients

from epp.demo.parts import HOST

WITHIN_THE_ANSWER = (3, 7)
"""Numbers of clients: one says that it goes, one does not."""


@pytest.mark.parametrize("number", WITHIN_THE_ANSWER)
@pytest.mark.parametrize(
    ("answer", "closes"),
    [
        pytest.param(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", False, id="short"),
        pytest.param(b"HTTP/1.1 503 Service Unavailable\r\n\r\n", True, id="short, and closed"),
        pytest.param(b"x" * 1000, False, id="long"),
    ],
)
async def test_client_goes(monkeypatch: pytest.MonkeyPatch, number: int, answer: bytes, *, closes: bool) -> None:
    monkeypatch.setattr(clients, "ANSWER_S", 0.1)

    is_over = asyncio.Event()

    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            while not closes and await reader.read(65_536):
                pass
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        is_over.set()

    server = await asyncio.start_server(answers, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    one = clients.Clients(port, port)
    async with server, asyncio.timeout(5):
        await one._leave(number)
        await is_over.wait()
    assert one.left == 1
