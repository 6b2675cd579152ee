"""A gateway that says one body mode and uses another: a real Envoy, whose ``protocol_config`` is changed on the way.

``python -m tests.e2e.hints`` prints the table of `docs/gateways.md`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from dataclasses import dataclass

import httpx

from epp._pb.external_processor_pb2 import ProcessingRequest
from epp._pb.processing_mode_pb2 import ProcessingMode
from epp.demo import parts
from epp.demo.envoy import BodyMode, Listener
from epp.demo.parts import HOST
from epp.demo.process import free_ports
from epp.extproc.conversation import Stream
from epp.extproc.rpc import Status
from epp.extproc.service import ExtProcService, Limits
from epp.extproc.transport import Transport, make_server
from epp.plugin.testing import make_context, make_endpoint
from tests.e2e.matrix import SIZES, Case, World
from tests.fakes.picker import director_and_metrics
from tests.fakes.upstream import Upstream, running_upstreams

LIMITS = Limits(max_request_body_bytes=2**26, max_held_body_bytes=2**29, stream_idle_timeout_s=60)
CASES = [
    Case(size=SIZES[size], is_sse=is_sse, is_http2=is_http2)
    for size in ("none", "89 B", "1.2 MB")
    for is_sse in (False, True)
    for is_http2 in (False, True)
]
HINTS: Sequence[BodyMode | None] = [None, *BodyMode]
"""What a gateway says; ``None``: it sends no ``protocol_config``."""


class LyingService(ExtProcService):
    """A picker whose gateways say what they are told to."""

    hint: BodyMode | None = None

    async def serve(self, stream: Stream) -> Status:
        """Hold a conversation with a gateway that says something else."""
        return await super().serve(LyingStream(stream, self.hint))


class LyingStream:
    """A stream whose first message has another ``protocol_config``."""

    def __init__(self, stream: Stream, hint: BodyMode | None) -> None:
        self._stream = stream
        self._hint = hint

    async def read(self) -> ProcessingRequest | None:
        """Return the next message, changed."""
        message = await self._stream.read()
        if message is not None and message.HasField("protocol_config"):
            message.ClearField("protocol_config")
            if self._hint is not None:
                mode = ProcessingMode.BodySendMode.Value(self._hint.envoy_name)
                message.protocol_config.request_body_mode = mode  # type: ignore[assignment] # an open enum
                message.protocol_config.response_body_mode = mode  # type: ignore[assignment] # an open enum
        return message

    def write(self, messages: Iterable[bytes]) -> Awaitable[None]:
        """Send answers."""
        return self._stream.write(messages)

    def lost(self) -> Awaitable[None]:
        """Return when the gateway has gone away."""
        return self._stream.lost()

    def cancel(self) -> None:
        """End it."""
        self._stream.cancel()


@dataclass
class LyingWorld:
    """An Envoy with a listener for each body mode, for requests and responses alike, and a picker in this process."""

    service: LyingService
    world: World

    async def faults(self, hint: BodyMode | None, mode: BodyMode) -> list[str]:
        """Return what goes wrong when a gateway says ``hint`` and does ``mode``."""
        self.service.hint = hint
        return await self.world.faults((mode, mode), CASES)


@contextlib.asynccontextmanager
async def running_lying_world() -> AsyncIterator[LyingWorld]:
    """Start everything."""
    ports = dict(zip(BodyMode, free_ports(HOST, [0] * len(BodyMode)), strict=True))
    (picker_port,) = free_ports(HOST, [0])
    listeners = [Listener(port=port, request_body=mode, response_body=mode) for mode, port in ports.items()]
    async with (
        running_upstreams(2) as upstreams,
        _running_service(upstreams, picker_port) as service,
        parts.running_envoy(listeners, picker_ports=[picker_port], secure=False),
        httpx.AsyncClient(timeout=30) as http1,
        httpx.AsyncClient(timeout=30, http1=False, http2=True) as http2,
    ):
        by_modes = {(mode, mode): port for mode, port in ports.items()}
        yield LyingWorld(service, World(by_modes, upstreams, {False: http1, True: http2}))


@contextlib.asynccontextmanager
async def _running_service(upstreams: Sequence[Upstream], port: int) -> AsyncIterator[LyingService]:
    pool = [make_endpoint(upstream.name, address=HOST, port=upstream.port) for upstream in upstreams]
    director, metrics = director_and_metrics(pool)
    service = LyingService(director, limits=LIMITS, metrics=metrics, log=make_context().log)
    server = make_server(Transport.AUTO, service.methods, certificate=None, max_message_bytes=2**27)
    await server.start(HOST, port)
    try:
        yield service
    finally:
        await server.stop(0)


async def print_table() -> None:
    """Run everything; prints one row for each thing that a gateway can say."""
    async with running_lying_world() as lying:
        print(f"| it says \\ it does | {' | '.join(BodyMode)} |")
        print(f"|---|{'---|' * len(BodyMode)}")
        for hint in HINTS:
            served = [len(CASES) - len(await lying.faults(hint, mode)) for mode in BodyMode]
            cells = " | ".join(f"{count} / {len(CASES)}" for count in served)
            print(f"| {hint or 'nothing'} | {cells} |", flush=True)


if __name__ == "__main__":
    asyncio.run(print_table())
