"""What scraping costs at rest: ``make bench-scraping``.

Starts ``epp serve`` with its defaults over 100 endpoints that serve a real vLLM's metrics page, leaves it alone, and
prints the CPU that it uses, in percent of one core: the process as a whole, and beside it one with a single endpoint.
"""

import asyncio
import os
import statistics
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import cast

from epp.demo.parts import HOST, PickerPorts, running_picker
from epp.demo.process import accepts, free_ports, running_child

PAGE = Path(__file__).parents[1] / "tests" / "data" / "vllm-0.32-metrics.txt"
ENDPOINTS = 100
RUNS = 3
SETTLE_S = 5.0
MEASURED_S = 20.0
MAX_PERCENT = 3.0


class PageServer(asyncio.Protocol):
    """Answers every request with the same page over a connection that stays open."""

    answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what to write to."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer once for each end of a request's head."""
        for _ in range(data.count(b"\r\n\r\n")):
            self._transport.write(self.answer)


async def serve_pages(ports: Sequence[int]) -> None:
    """Serve the page on every port until the process is ended."""
    page = PAGE.read_bytes()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=1.0.0\r\ncontent-length: {len(page)}\r\n\r\n"
    PageServer.answer = head.encode() + page
    loop = asyncio.get_running_loop()
    for port in ports:
        await loop.create_server(PageServer, HOST, port)
    await asyncio.Event().wait()


@asynccontextmanager
async def running_pages(ports: Sequence[int]) -> AsyncIterator[None]:
    """Serve the pages from a process of their own, so that its CPU is not counted."""
    command = [sys.executable, __file__, *map(str, ports)]
    async with running_child("pages", command, lambda _: None) as child:
        await child.wait_until(partial(accepts, HOST, ports[-1]))
        yield


async def cpu_percent(ports: Sequence[int]) -> float:
    """Return what a picker over these endpoints uses at rest."""
    *picker_ports, _ = free_ports(HOST, [0] * 4)
    endpoints = [f"{HOST}:{port}" for port in ports]
    async with running_picker(endpoints, ports=PickerPorts(*picker_ports), on_line=lambda _: None) as picker:
        await asyncio.sleep(SETTLE_S)
        before = cpu_seconds(picker.process.pid)
        await asyncio.sleep(MEASURED_S)
        return (cpu_seconds(picker.process.pid) - before) / MEASURED_S * 100


def cpu_seconds(pid: int) -> float:
    """Return what a process has used so far, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def main() -> int:
    """Print one line for each run and the medians; 1 when that of all endpoints is over its bound."""
    ports = free_ports(HOST, [0] * ENDPOINTS)
    runs = []
    async with running_pages(ports):
        for number in range(1, RUNS + 1):
            one, all_of_them = await cpu_percent(ports[:1]), await cpu_percent(ports)
            runs.append((one, all_of_them))
            print(f"run {number}: 1 endpoint {one:.2f} %, {ENDPOINTS} endpoints {all_of_them:.2f} % of a core")
    one, all_of_them = (statistics.median(column) for column in zip(*runs, strict=True))
    print(f"median of {RUNS}: 1 endpoint {one:.2f} %, {ENDPOINTS} endpoints {all_of_them:.2f} % of a core")
    return int(all_of_them > MAX_PERCENT)


if __name__ == "__main__":
    if sys.argv[1:]:
        asyncio.run(serve_pages([int(port) for port in sys.argv[1:]]))
    else:
        sys.exit(asyncio.run(main()))
