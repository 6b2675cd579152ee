"""Many slow streams at once through a real Envoy: all are served, memory is bounded, nothing is left."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from epp.demo.envoy import BodyMode
from tests.fakes.running import RunningPicker, running_envoy, running_picker
from tests.fakes.upstream import Upstream, running_upstreams

pytestmark = pytest.mark.asyncio(loop_scope="module")

STREAMS = 2_000
PIECES, PIECE_BYTES = 4, 10_000
HELD_BYTES = 32 * 2**20
"""Less than half of what all of them send together, so that gateways have to wait."""
MESSAGE_BYTES = 16 * 2**10
"""What Envoy puts into one message of these: what it reads from a connection at once."""
STREAM_BYTES = 128 * 2**10
"""Memory for an open stream beside its body, as docs/limits.md says."""
PAUSE_S = 0.4


@dataclass
class World:
    """A picker with little room for bodies, and an Envoy in front of it."""

    port: int
    picker: RunningPicker
    upstreams: list[Upstream]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=[BodyMode.FULL_DUPLEX, BodyMode.BUFFERED])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with (
        running_upstreams(2) as upstreams,
        running_picker([one.name for one in upstreams], "--max-held-body-bytes", str(HELD_BYTES), "--v=1") as picker,
        running_envoy(picker, request.param) as url,
    ):
        yield World(int(url.rsplit(":", 1)[1]), picker, upstreams)


class SlowClient:
    """A client that sends its request piece by piece."""

    def __init__(self, world: World, number: int, *, path: str = "/v1/completions") -> None:
        prompt = f"{number} ".encode() + b"x" * (PIECES * PIECE_BYTES)
        self._body = b'{"model": "tiny", "prompt": "%s"}' % prompt
        self._path = path
        self._port = world.port
        self._number = number

    async def status(self, *, pieces: int = PIECES + 1) -> int:
        """Send the request and return the answer's status; with fewer ``pieces`` go away before it is complete."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            head = f"POST {self._path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(self._body)}\r\n\r\n"
            writer.write(head.encode())
            if self._number % 2:
                # Half of them let even the beginning of the body wait.
                await asyncio.sleep(PAUSE_S)
            for piece in range(pieces):
                writer.write(self._body[piece * PIECE_BYTES : (piece + 1) * PIECE_BYTES])
                await writer.drain()
                await asyncio.sleep(PAUSE_S)
            return int((await reader.readline()).split()[1]) if pieces > PIECES else 0
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def peak_memory(picker: RunningPicker, running: asyncio.Event) -> tuple[float, float]:
    """Return the most memory and the most bytes of bodies held that were seen while something runs."""
    memory = held = 0.0
    while running.is_set():
        memory = max(memory, await picker.metric("process_resident_memory_bytes"))
        held = max(held, await picker.metric("epp_body_bytes_held"))
        await asyncio.sleep(0.1)
    return memory, held


async def nothing_is_left(picker: RunningPicker) -> None:
    for name in ("epp_streams_open", "epp_requests_in_flight", "epp_body_bytes_held"):
        await picker.wait_for_metric(name, 0)
    assert await picker.metric("epp_session_errors_total") == 0


async def test_all_slow_streams_are_served_within_the_bound_on_memory(world: World) -> None:
    at_rest = await world.picker.metric("process_resident_memory_bytes")
    running = asyncio.Event()
    running.set()
    async with asyncio.TaskGroup() as group:
        peaks = group.create_task(peak_memory(world.picker, running))
        clients = [group.create_task(SlowClient(world, number).status()) for number in range(STREAMS)]
        statuses = await asyncio.gather(*clients)
        running.clear()
    assert statuses == [200] * STREAMS
    memory, held = peaks.result()
    assert held <= HELD_BYTES + STREAMS * MESSAGE_BYTES
    assert memory <= at_rest + held + STREAMS * STREAM_BYTES
    await nothing_is_left(world.picker)


async def test_clients_that_go_away_leave_nothing(world: World) -> None:
    """Half of them, at every point of their requests."""
    clients = [SlowClient(world, number) for number in range(STREAMS // 2)]
    statuses = await asyncio.gather(
        *(client.status(pieces=number % 7 % PIECES) for number, client in enumerate(clients[::2])),
        *(client.status() for client in clients[1::2]),
    )
    assert statuses == [0] * (STREAMS // 4) + [200] * (STREAMS // 4)
    await nothing_is_left(world.picker)
