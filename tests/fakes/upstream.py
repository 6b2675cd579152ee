"""A model server that remembers, byte for byte, what reached it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from aiohttp import web

from epp.demo.parts import HOST
from epp.demo.process import free_ports

IDLE_PAGE = "vllm:num_requests_waiting 0\nvllm:num_requests_running 0\nvllm:kv_cache_usage_perc 0\n"
NAME_HEADER = "x-served-by"
DESTINATION = "x-gateway-destination-endpoint"
PLAIN_ANSWER = b'{"model":"tiny", "text": "%s", "usage":{"prompt_tokens":7,"completion_tokens":3}}' % (b"y" * 70_000)
EVENTS = [b'data: {"model":"tiny","n":%d}\r\n\r\n' % number for number in range(20)] + [b"data: [DONE]\n\n"]


class Upstream:
    """One server; ``name`` is what the picker calls it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.name = f"{HOST}:{port}"
        self.page = IDLE_PAGE
        self.page_delay_s = 0.0
        self.bodies: list[bytes] = []
        self.heads: list[dict[str, str]] = []
        self.sent = b""
        self.answer = PLAIN_ANSWER
        self.events = EVENTS
        self.event_every_s = 0.0
        self.status = 200
        self.next_chunk = asyncio.Event()
        application = web.Application(client_max_size=64 * 1024 * 1024)
        application.router.add_get("/metrics", self._metrics)
        application.router.add_route("*", "/v1/sse/{path:.*}", self._events)
        application.router.add_post("/v1/stream/completions", self._stream)
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)

    async def start(self) -> None:
        """Listen."""
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, self.port, backlog=4096).start()

    async def stop(self) -> None:
        """Vanish: connections to it are refused from now on."""
        await self._runner.cleanup()

    async def _metrics(self, _request: web.Request) -> web.Response:
        await asyncio.sleep(self.page_delay_s)
        return web.Response(text=self.page)

    def forget(self) -> None:
        """Remember nothing of what came so far, and answer as at first."""
        self.bodies.clear()
        self.heads.clear()
        self.answer, self.events, self.status = PLAIN_ANSWER, EVENTS, 200

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Send a list of events, each in a chunk of its own."""
        await self._note(request)
        response = web.StreamResponse(headers={"content-type": "text/event-stream", NAME_HEADER: self.name})
        await response.prepare(request)
        with suppress(ConnectionError):
            # A client that goes away is what some tests are about.
            for event in self.events:
                await response.write(event)
                await asyncio.sleep(self.event_every_s)
        self.sent = b"".join(self.events)
        return response

    async def _answer(self, request: web.Request) -> web.Response:
        await self._note(request)
        self.sent = self.answer
        headers = {NAME_HEADER: self.name, "content-type": "application/json"}
        return web.Response(body=self.sent, status=self.status, headers=headers)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """Send one event, then each next one only when the test says so."""
        await self._note(request)
        response = web.StreamResponse(headers={"content-type": "text/event-stream", NAME_HEADER: self.name})
        await response.prepare(request)
        for number in range(3):
            await response.write(b"data: %d\n\n" % number)
            await self.next_chunk.wait()
            self.next_chunk.clear()
        return response

    async def _note(self, request: web.Request) -> None:
        self.heads.append({name.lower(): value for name, value in request.headers.items()})
        self.bodies.append(await request.read())


@asynccontextmanager
async def running_upstreams(count: int) -> AsyncIterator[list[Upstream]]:
    """Run some upstreams until the context closes."""
    upstreams = [Upstream(port) for port in free_ports(HOST, [0] * count)]
    for upstream in upstreams:
        await upstream.start()
    try:
        yield upstreams
    finally:
        for upstream in upstreams:
            await upstream.stop()
