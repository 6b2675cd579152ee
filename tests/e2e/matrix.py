"""Every body mode against every body, through one real Envoy with a listener for each pair of modes.

``python -m tests.e2e.matrix`` prints the table of `docs/gateways.md`.
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass

import httpx

from epp.demo import parts
from epp.demo.envoy import BodyMode, Listener
from epp.demo.parts import HOST
from epp.demo.process import free_ports
from tests.fakes.running import RunningPicker, running_picker
from tests.fakes.upstream import DESTINATION, NAME_HEADER, Upstream, running_upstreams

SIZES = {"none": 0, "89 B": 89, "70 KB": 70_000, "1.2 MB": 1_200_000, "8 MB": 8_000_000}
MODES = list(itertools.product(BodyMode, BodyMode))
UPSTREAMS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One request; ``is_sse`` is about the answer."""

    size: int
    is_sse: bool
    is_http2: bool


CASES = [
    Case(size=size, is_sse=is_sse, is_http2=is_http2)
    for size in SIZES.values()
    for is_sse in (False, True)
    for is_http2 in (False, True)
]


@dataclass
class World:
    """An Envoy with a listener for each pair of body modes, and some upstreams."""

    ports: dict[tuple[BodyMode, BodyMode], int]
    upstreams: Sequence[Upstream]
    clients: dict[bool, httpx.AsyncClient]
    """By whether they speak HTTP/2."""

    async def fault(self, modes: tuple[BodyMode, BodyMode], case: Case) -> str | None:
        """Send one request; returns what is wrong with what arrived at either side, ``None`` when nothing is."""
        for upstream in self.upstreams:
            upstream.forget()
        body = chat_body(case.size) if case.size else b""
        url = f"http://{HOST}:{self.ports[modes]}{'/v1/sse' if case.is_sse else '/v1'}/chat/completions"
        client = self.clients[case.is_http2]
        try:
            response = await client.request("POST" if body else "GET", url, content=body or None)
        except httpx.HTTPError as error:
            return repr(error)
        served = [upstream for upstream in self.upstreams if upstream.bodies]
        if response.status_code != 200 or len(served) != 1:
            return f"status {response.status_code}, reached {len(served)} upstreams: {response.text[:200]}"
        (upstream,) = served
        checks = {
            "the protocol": response.http_version == ("HTTP/2" if case.is_http2 else "HTTP/1.1"),
            "the request's body": upstream.bodies == [body],
            "the answer's body": response.content == upstream.sent,
            "the endpoint": upstream.heads[-1][DESTINATION] == response.headers[NAME_HEADER] == upstream.name,
        }
        return next((f"{what} is not what it should be" for what, is_right in checks.items() if not is_right), None)

    async def faults(self, modes: tuple[BodyMode, BodyMode], cases: Iterable[Case]) -> list[str]:
        """Return what went wrong in one pair of modes."""
        found = [(case, await self.fault(modes, case)) for case in cases]
        return [f"{case}: {fault}" for case, fault in found if fault is not None]


@dataclass
class PickerWorld(World):
    """The same with a picker in a process of its own."""

    picker: RunningPicker


@contextlib.asynccontextmanager
async def running_world(modes: Sequence[tuple[BodyMode, BodyMode]] = MODES) -> AsyncIterator[PickerWorld]:
    """Start everything."""
    ports = dict(zip(modes, free_ports(HOST, [0] * len(modes)), strict=True))
    listeners = [Listener(port=port, request_body=pair[0], response_body=pair[1]) for pair, port in ports.items()]
    async with (
        running_upstreams(UPSTREAMS) as upstreams,
        running_picker([upstream.name for upstream in upstreams]) as picker,
        parts.running_envoy(listeners, picker_ports=[picker.ports.ext_proc]),
        httpx.AsyncClient(timeout=30) as http1,
        httpx.AsyncClient(timeout=30, http1=False, http2=True) as http2,
    ):
        yield PickerWorld(ports, upstreams, {False: http1, True: http2}, picker)


def chat_body(size: int) -> bytes:
    """A chat request of exactly this many bytes, with odd spacing, key order and numbers that must survive."""
    head = b'{ "model":"tiny",\n"seed": 9007199254740993, "messages" :[{"role":"user","content":"'
    tail = b'"}]}'
    return head + b"x" * (size - len(head) - len(tail)) + tail


async def print_table() -> None:
    """Run everything; prints one row for each request body mode."""
    async with running_world() as world:
        print(f"| request body \\ response body | {' | '.join(BodyMode)} |")
        print(f"|---|{'---|' * len(BodyMode)}")
        everything = []
        for request_mode in BodyMode:
            cells = []
            for response_mode in BodyMode:
                faults = await world.faults((request_mode, response_mode), CASES)
                everything += [f"{request_mode} / {response_mode}: {fault}" for fault in faults]
                cells.append(f"{len(CASES) - len(faults)} / {len(CASES)}")
            print(f"| {request_mode} | {' | '.join(cells)} |", flush=True)
        for name in ("epp_session_errors_total", "epp_plugin_errors_total", "epp_streams_open"):
            print(f"{name} {await world.picker.metric(name):g}")
    if everything:
        raise SystemExit("\n".join(everything))


if __name__ == "__main__":
    asyncio.run(print_table())
