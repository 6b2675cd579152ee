"""Model servers that cost next to nothing: short answers at once, or answers in many pieces."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

from epp.demo.envoy import Json
from epp.demo.parts import running_configured_envoy
from load.plan import Case

PAGE = Path(__file__).parents[2] / "tests" / "data" / "vllm-0.32-metrics.txt"
"""What they answer to a scrape: a real vLLM's page of 50 KB."""
PIECE = b'data: {"choices": [{"index": 0, "delta": {"content": " word"}}]}\n\n'
_TYPES = "type.googleapis.com/envoy.extensions.filters"


def hosts(count: int) -> list[str]:
    """Return loopback addresses, one for each endpoint."""
    return [f"127.0.{number // 250}.{number % 250 + 1}" for number in range(count)]


@contextlib.asynccontextmanager
async def running_upstream(case: Case, port: int) -> AsyncIterator[list[str]]:
    """Serve one case's answers on a port of each address; yields the endpoints."""
    names = hosts(case.endpoints)
    serving = _streaming(names, port, case) if case.chunks else _answering(names, port)
    async with serving:
        yield [f"{name}:{port}" for name in names]


@contextlib.asynccontextmanager
async def _answering(names: list[str], port: int) -> AsyncIterator[None]:
    """Serve short answers from an Envoy."""
    page = await asyncio.to_thread(PAGE.read_text)
    async with running_configured_envoy(answering_config(names, port, page=page), ports=[port]):
        yield


def answering_config(names: list[str], port: int, *, page: str) -> Json:
    """Return an Envoy that answers everything itself."""
    routes = [_direct({"path": "/metrics"}, page), _direct({"prefix": "/"}, "{}")]
    manager = {
        "@type": f"{_TYPES}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "upstream",
        "route_config": {
            "max_direct_response_body_size_bytes": len(page.encode()),
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}],
        },
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{_TYPES}.http.router.v3.Router"}}],
    }
    addresses = [{"socket_address": {"address": name, "port_value": port}} for name in names]
    listener = {
        "address": addresses[0],
        "additional_addresses": [{"address": address} for address in addresses[1:]],
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    return {"static_resources": {"listeners": [listener]}}


def _direct(match: Json, body: str) -> Json:
    return {"match": match, "direct_response": {"status": 200, "body": {"inline_string": body}}}


@contextlib.asynccontextmanager
async def _streaming(names: list[str], port: int, case: Case) -> AsyncIterator[None]:
    """Serve streams from this process, which has nothing else to do while requests are sent."""
    page = await asyncio.to_thread(PAGE.read_bytes)
    server = await asyncio.start_server(partial(_serve_connection, page=page, case=case), names, port)
    async with server:
        yield


async def _serve_connection(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, page: bytes, case: Case
) -> None:
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"GET /metrics"):
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(page) + page)
                continue
            length = re.search(rb"content-length: (\d+)", head.lower())
            await reader.readexactly(int(length[1]) if length else 0)
            await _stream(writer, case)


async def _stream(writer: asyncio.StreamWriter, case: Case) -> None:
    """Write pieces one by one, each in a turn of the loop of its own."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(case.chunks):
        writer.write(b"%x\r\n%b\r\n" % (len(PIECE), PIECE))
        await writer.drain()
        await asyncio.sleep(case.pause_s)
    writer.write(b"0\r\n\r\n")
    await writer.drain()
