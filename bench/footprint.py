"""What a picker costs at rest, and how fast it is ready: ``make bench-footprint``.

Starts ``epp serve`` over three simulated model servers several times; prints the time from the start of the process to
a 200 of ``/readyz``, and the resident memory after some seconds of scraping.
"""

import asyncio
import statistics
import sys
import time
from pathlib import Path

from epp.demo.parts import HOST, PickerPorts, running_model_servers, running_picker
from epp.demo.process import free_ports

RUNS = 5
SETTLE_S = 5.0
MODEL_SERVERS = 3
MAX_READY_S = 2.0
MAX_MEGABYTES = 100.0


async def measure_once() -> tuple[float, float]:
    """Return seconds from start to ready, and megabytes (10^6 bytes) of resident memory at rest."""
    *picker_ports, first, second, third = free_ports(HOST, [0] * (3 + MODEL_SERVERS))
    servers = (first, second, third)
    async with running_model_servers(servers):
        started = time.monotonic()
        endpoints = [f"{HOST}:{port}" for port in servers]
        async with running_picker(endpoints, ports=PickerPorts(*picker_ports), on_line=lambda _: None) as picker:
            ready_s = time.monotonic() - started
            await asyncio.sleep(SETTLE_S)
            return ready_s, await asyncio.to_thread(resident_megabytes, picker.process.pid)


def resident_megabytes(pid: int) -> float:
    """Return a process's resident set as the kernel counts it."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024 / 1e6


async def main() -> int:
    """Print one line for each run and the medians; 1 when a median is over its bound."""
    runs = [await measure_once() for _ in range(RUNS)]
    for number, (ready_s, megabytes) in enumerate(runs, 1):
        print(f"run {number}: ready after {ready_s:.2f} s, {megabytes:.1f} MB at rest")
    ready_s, megabytes = (statistics.median(column) for column in zip(*runs, strict=True))
    print(f"median of {RUNS}: ready after {ready_s:.2f} s, {megabytes:.1f} MB at rest")
    return int(ready_s > MAX_READY_S or megabytes > MAX_MEGABYTES)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
