"""What a request costs: ``make bench-load``. CPU of the picker beside that of Envoy, and of an echo.

`wrk` sends requests through an Envoy with one worker; Envoy asks a picker, and goes to a server that is another Envoy,
or, for streamed answers, one that writes many pieces. CPU is what the kernel counts for a process, divided by the
requests that it served. Everything is of one run; machines are shared, so the ratios are what counts.
"""

import asyncio
import contextlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from epp.demo.envoy import BodyMode, Listener, envoy_config, find_envoy
from epp.demo.parts import HOST, PickerPorts, running_picker
from epp.demo.process import accepts, free_ports, running_child

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
SECONDS = int(os.environ.get("LOAD_SECONDS", "6"))
WARM_UP_S = 2
CONNECTIONS = 16
WRK = """
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
content = string.rep("%(text)s", %(repeats)d)
wrk.body = '{"model": "tiny", "messages": [{"role": "user", "content": "' .. content .. '"}]}'
"""
TEXT = "an endpoint picker "
TYPES = "type.googleapis.com/envoy.extensions.filters"


@dataclass(frozen=True, slots=True)
class Case:
    """What is sent, and what of it is shown."""

    name: str
    body_bytes: int
    chunks: int = 0
    """Pieces of a streamed answer; 0: a short one at once."""


CASES = [
    Case("1 KB", 1_000),
    Case("40 KB", 40_000),
    Case("400 KB", 400_000),
    Case("1 KB, 100 chunks", 1_000, chunks=100),
    Case("1 KB, 1000 chunks", 1_000, chunks=1000),
]


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU in microseconds for each request."""

    requests: int
    picker_us: float
    envoy_us: float


def cpu_s(pid: int) -> float:
    """Return the CPU that a process has used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


@contextlib.asynccontextmanager
async def running_upstream(port: int) -> AsyncIterator[None]:
    """Serve short answers from an Envoy of its own, which costs next to nothing."""
    manager = {
        "@type": f"{TYPES}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "u",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [
                        {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "{}"}}}
                    ],
                }
            ]
        },
        "http_filters": [
            {
                "name": "router",
                "typed_config": {"@type": f"{TYPES}.http.router.v3.Router"},
            }
        ],
    }
    address = {"socket_address": {"address": HOST, "port_value": port}}
    listener = {"address": address, "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}]}
    async with running_envoy({"static_resources": {"listeners": [listener]}}, port):
        yield


@contextlib.asynccontextmanager
async def running_chunks(port: int, chunks: int) -> AsyncIterator[None]:
    """Serve answers in many pieces."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", head.lower())
                await reader.readexactly(int(length[1]) if length else 0)
                writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                for _ in range(chunks):
                    writer.write(b'1e\r\ndata: {"choices": [{"te": 1}]}\r\n'[:34] + b"\r\n")
                    await writer.drain()
                    await asyncio.sleep(0)
                writer.write(b"0\r\n\r\n")
                await writer.drain()

    server = await asyncio.start_server(serve, HOST, port)
    async with server:
        yield


@contextlib.asynccontextmanager
async def running_envoy(config: object, port: int) -> AsyncIterator[int]:
    """Run an Envoy with one worker; yields its process id."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "envoy.json"
        file.write_text(json.dumps(config))
        command = [str(find_envoy()), "-c", str(file), "--concurrency", "1", "-l", "error", "--disable-hot-restart"]
        async with running_child("envoy", command, lambda _line: None) as child:
            await child.wait_until(lambda: accepts(HOST, port))
            yield child.process.pid


@contextlib.asynccontextmanager
async def running_subject(subject: str, port: int, upstream: int, endpoints: int) -> AsyncIterator[int]:
    """Run a picker or an echo; yields its process id."""
    kind, transport = subject.split("/")
    if kind == "echo":
        command = [sys.executable, str(Path(__file__).with_name("echo.py")), transport, str(port), f"{HOST}:{upstream}"]
        async with running_child("echo", command, lambda _line: None) as child:
            await child.wait_until(lambda: accepts(HOST, port))
            yield child.process.pid
        return
    health, metrics = free_ports(HOST, [0, 0])
    pool = [f"127.0.0.{number + 1}:{upstream}" for number in range(endpoints)]
    flags = ("--v=1", "--secure-serving=false", "--transport", transport)
    async with running_picker(
        pool, ports=PickerPorts(port, health, metrics), flags=flags, on_line=lambda _: None
    ) as one:
        yield one.process.pid


async def load(url: str, case: Case, seconds: float) -> int:
    """Send requests for some time; returns how many were answered, all of them well."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(WRK % {"text": TEXT, "repeats": case.body_bytes // len(TEXT)})
        script.flush()
        wrk = await asyncio.create_subprocess_exec(
            *("wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", "-s", script.name, f"{url}/v1/chat/completions"),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await wrk.communicate()
    text = out.decode()
    if "Non-2xx" in text or "Socket errors" in text:
        sys.stderr.write(text)
    found = re.search(r"(\d+) requests in", text)
    return int(found[1]) if found else 0


async def measure(subject: str, case: Case, endpoints: int) -> Cost:
    """Return what a request costs."""
    upstream, port, envoy_port = free_ports(HOST, [0, 0, 0])
    answers = BodyMode.FULL_DUPLEX if case.chunks else BodyMode.NONE
    listener = Listener(port=envoy_port, response_body=answers)
    config = envoy_config([listener], picker_ports=[port], secure=False)
    serving = running_chunks(upstream, case.chunks) if case.chunks else running_upstream(upstream)
    async with (
        serving,
        running_subject(subject, port, upstream, endpoints) as picker,
        running_envoy(config, envoy_port) as envoy,
    ):
        url = f"http://{HOST}:{envoy_port}"
        await load(url, case, WARM_UP_S)
        before = cpu_s(picker), cpu_s(envoy)
        requests = await load(url, case, SECONDS)
        after = cpu_s(picker), cpu_s(envoy)
    spent = [(end - begin) / max(requests, 1) * 1e6 for begin, end in zip(before, after, strict=True)]
    return Cost(requests, *spent)


async def main(subjects: Sequence[str]) -> int:
    """Print one row for each case and subject."""
    if shutil.which("wrk") is None:
        sys.stderr.write("wrk is needed: apt-get install wrk\n")
        return 2
    print("| case | subject | requests | picker us | Envoy us | picker / Envoy | us a chunk |")
    print("|---|---|---|---|---|---|---|")
    only = os.environ.get("LOAD_CASE", "")
    for case in [one for one in CASES if only in {"", one.name}]:
        for subject in subjects:
            cost = await measure(subject, case, 10)
            chunk = f"{cost.picker_us / case.chunks:.1f}" if case.chunks else ""
            ratio = cost.picker_us / cost.envoy_us if cost.envoy_us else 0
            figures = f"{cost.requests} | {cost.picker_us:.0f} | {cost.envoy_us:.0f} | {ratio:.2f} | {chunk}"
            print(f"| {case.name} | {subject} | {figures} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:] or ["epp/hyper", "echo/hyper", "epp/grpcio", "echo/grpcio"])))
