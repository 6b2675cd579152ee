"""Model servers that come and go: ``epp simulate``, each a process of its own, and the file that lists them."""

import asyncio
import contextlib
import datetime as dt
import json
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from soak.readings import metric_sum, read_page

from epp.demo.parts import HOST
from epp.demo.process import Child, accepts, free_ports

MODEL = "tiny"
FLAGS = (
    *("--model", MODEL),
    *("--prefill-tokens-per-second", "500000", "--decode-tokens-per-second", "500"),
    *("--max-running", "64", "--block-count", "10000"),
)
NOTICED_S = 1.5
"""Until the picker has read a new list, which it does twice a second, and what it decided before has arrived."""
PAUSE_S = 3.0
"""Between two restarts."""
KILL_EVERY = 4
"""Each so many restarts, one is a crash."""


@dataclass(frozen=True, slots=True)
class Kill:
    """A model server that died with all that it was doing; seconds since the epoch."""

    endpoint: str
    at_s: float
    back_at_s: float


class ServerProcess:
    """One model server, in a process of its own, so that it can be killed."""

    def __init__(self, port: int, flags: Sequence[str] = FLAGS) -> None:
        self.port = port
        self.name = f"{HOST}:{port}"
        self._flags = flags

    async def start(self) -> None:
        """Serve; returns when it does."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "epp", "simulate", "--port", str(self.port), *self._flags),
            stdout=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        self._child = Child(self.name, self._process)
        await self._child.wait_until(lambda: accepts(HOST, self.port))

    async def stop(self) -> None:
        """End when nothing is in flight, as a pod does that has left its Service and drains."""
        async with aiohttp.ClientSession() as http:
            await self._child.wait_until(lambda: self._is_idle(http))
        await self._child.stop()

    async def kill(self) -> None:
        """Die at once, with everything in flight."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def _is_idle(self, http: aiohttp.ClientSession) -> bool:
        page = await read_page(http, f"http://{self.name}/metrics")
        return not any(metric_sum(page, f"vllm:num_requests_{kind}") for kind in ("running", "waiting"))


@dataclass(slots=True)
class Pool:
    """Model servers, and the file that tells the picker of them."""

    file: Path
    servers: Sequence[ServerProcess]
    restarts: int = 0
    kills: list[Kill] = field(default_factory=list)

    async def keep_restarting(self, stop: asyncio.Event) -> None:
        """Restart one after the other until told to stop; all of them serve when it returns."""
        while not stop.is_set():
            server = self.servers[self.restarts % len(self.servers)]
            self.restarts += 1
            # Not always the same server: their number and that of the kills have no common divisor in a row.
            if (self.restarts + self.restarts // KILL_EVERY) % KILL_EVERY == 0:
                await self._crash(server)
            else:
                await self._replace(server)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), PAUSE_S)

    def tell(self, *, without: ServerProcess | None = None) -> None:
        """Write the list, in one step."""
        listed = [one for one in self.servers if one is not without]
        endpoints = [{"name": f"server-{one.port}", "address": HOST, "port": one.port} for one in listed]
        replace(self.file, json.dumps({"endpoints": endpoints}))

    async def _replace(self, server: ServerProcess) -> None:
        """Restart as a rollout does: out of the list, drained, ended, started, into the list."""
        self.tell(without=server)
        await asyncio.sleep(NOTICED_S)
        await server.stop()
        await server.start()
        self.tell()

    async def _crash(self, server: ServerProcess) -> None:
        at_s = now_s()
        await server.kill()
        await server.start()
        self.kills.append(Kill(server.name, at_s, now_s()))


def now_s() -> float:
    """Return seconds since the epoch, as logs have them."""
    return dt.datetime.now(dt.UTC).timestamp()


def replace(file: Path, text: str) -> None:
    """Give a file another content, so that nobody sees half of it."""
    beside = file.with_suffix(".new")
    beside.write_text(text)
    beside.replace(file)


@contextlib.asynccontextmanager
async def running_pool(count: int, file: Path) -> AsyncIterator[Pool]:
    """Run model servers until the context closes; yields when all of them serve."""
    pool = Pool(file, [ServerProcess(port) for port in free_ports(HOST, [0] * count)])
    async with contextlib.AsyncExitStack() as started:
        for server in pool.servers:
            await server.start()
            started.push_async_callback(server.kill)
        pool.tell()
        yield pool
