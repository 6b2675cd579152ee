"""Clients: those that want their answers, played by ``wrk``, and those that go away in the middle."""

import asyncio
import contextlib
import itertools
import json
import os
import random
import socket
import struct
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from epp.demo.parts import HOST

SCRIPT = Path(__file__).with_name("requests.lua")
ROUND_S = 10
CONNECTIONS, STREAM_CONNECTIONS = 12, 4
MOB_CONNECTIONS = 8
MOB_EVERY_S = 15.0
MOB_LIVES_S = 1.0
LEAVING_EVERY_S = 0.2
LATE_S = 0.3
"""Longer than the picker waits for a body before it decides without it."""
PIECE_BYTES = 20_000
ENOUGH_BYTES = 400
"""Of an answer: its head and some of its events."""
ANSWER_S = 5.0
"""How long a client that wants to go within its answer waits for so much of it: one that is refused gets less."""


class Clients:
    """Everyone who sends requests, and what came of it."""

    def __init__(self, plain_port: int, streamed_port: int) -> None:
        self._ports = (plain_port, streamed_port)
        self._seeds = itertools.count(1)
        self._random = random.Random(0)  # noqa: S311 - which client goes when
        self.told: Counter[str] = Counter()
        """What `wrk` says of its requests, all rounds together."""
        self.left = 0
        """Clients that went away one by one; those of `wrk` that were killed come on top."""

    async def send(self, stop: asyncio.Event) -> None:
        """Send requests, short answers on the one port and streamed ones on the other, round after round."""
        plain, streamed = self._ports
        while not stop.is_set():
            async with asyncio.TaskGroup() as group:
                group.create_task(self._round(plain, CONNECTIONS, is_streamed=False))
                group.create_task(self._round(streamed, STREAM_CONNECTIONS, is_streamed=True))

    async def vanish_together(self, stop: asyncio.Event) -> None:
        """Now and then kill a process with many connections."""
        while not await _over(stop, MOB_EVERY_S):
            port = self._random.choice(self._ports)
            mob = await self._wrk(port, MOB_CONNECTIONS, is_streamed=port == self._ports[1])
            await asyncio.sleep(MOB_LIVES_S)
            with contextlib.suppress(ProcessLookupError):
                mob.kill()
            await mob.communicate()

    async def vanish_singly(self, stop: asyncio.Event) -> None:
        """Go away at all points of a request, some of them every second."""
        async with asyncio.TaskGroup() as group:
            for number in itertools.count():
                if await _over(stop, LEAVING_EVERY_S):
                    return
                group.create_task(self._leave(number))

    async def _round(self, port: int, connections: int, *, is_streamed: bool) -> None:
        wrk = await self._wrk(port, connections, is_streamed=is_streamed)
        out, _ = await wrk.communicate()
        self.told.update(_told(out.decode()))

    async def _wrk(self, port: int, connections: int, *, is_streamed: bool) -> asyncio.subprocess.Process:
        environment = os.environ | {"SOAK_SEED": str(next(self._seeds)), "SOAK_STREAM": str(int(is_streamed))}  # noqa: TID251 - for a child
        return await asyncio.create_subprocess_exec(
            *("wrk", "-t1", f"-c{connections}", f"-d{ROUND_S}s", "--timeout", "30s"),
            *("-s", str(SCRIPT), f"http://{HOST}:{port}"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment,
        )

    async def _leave(self, number: int) -> None:
        """Go away before the body is whole, after it has paused, before the answer, or within it.

        Half of them say so (FIN), half are gone at once (RST).
        """
        point, is_rude, port = number % 4, number // 4 % 2 == 1, self._ports[number // 8 % 2]
        body = _long_request(f"{number} leaves")
        reader, writer = await asyncio.open_connection(HOST, port)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, TimeoutError):
            writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body))
            writer.write(body[:PIECE_BYTES])
            await writer.drain()
            if point == 1:
                await asyncio.sleep(LATE_S)
            if point > 1:
                writer.write(body[PIECE_BYTES:])
                await writer.drain()
            if point > 2:  # noqa: PLR2004 - the last point: within the answer
                await asyncio.wait_for(reader.readexactly(ENOUGH_BYTES), ANSWER_S)
        _go(writer, is_rude=is_rude)
        self.left += 1


def _go(writer: asyncio.StreamWriter, *, is_rude: bool) -> None:
    if is_rude and not writer.transport.is_closing():
        plug: socket.socket = writer.get_extra_info("socket")
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    else:
        writer.close()


def _long_request(opening: str) -> bytes:
    """Return a request with a body of several messages and an answer that takes about a second."""
    content = opening + " that an answer which nobody reads is not one" * 800
    body = {"model": "tiny", "messages": [{"role": "user", "content": content}], "max_tokens": 500, "stream": True}
    return json.dumps(body).encode()


def _told(output: str) -> Mapping[str, int]:
    """Return what the script prints at the end of a round; raises `RuntimeError` where it did not get there."""
    for line in output.splitlines():
        if line.startswith("SOAK "):
            told: dict[str, int] = json.loads(line.removeprefix("SOAK "))
            return told
    raise RuntimeError(f"wrk failed:\n{output}")


async def _over(stop: asyncio.Event, after_s: float) -> bool:
    """Wait for so long; tells, sooner if need be, whether it is time to stop."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), after_s)
    return stop.is_set()
