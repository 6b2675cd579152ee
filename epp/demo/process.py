"""Child processes: started, waited for, stopped."""

import asyncio
import contextlib
import itertools
import os
import socket
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence

import aiohttp

STOP_S = 5.0
"""How long a child may take to end after SIGTERM before it is killed."""
START_S = 20.0
MAX_LINE_BYTES = 16 * 1024 * 1024
FIRST_PORT, SHARES, PORTS_A_SHARE = 16_384, 64, 256
"""The last is below 32,768, from where Linux takes ports for connections (``ip_local_port_range``)."""
_POLL_S = 0.05
_turns = itertools.count()
_KEPT_LINES = 10


class PartError(Exception):
    """A part did not start, or ended by itself; the message has the last lines that it printed."""


class Child:
    """A running process of ours."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.process = process
        self._last_lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._is_stopping = False

    async def wait_until(self, is_up: Callable[[], Awaitable[bool]], *, timeout_s: float = START_S) -> None:
        """Return when it is up; raises `PartError` when it has ended, or is not up in time."""
        try:
            async with asyncio.timeout(timeout_s):
                while not await is_up():
                    self.require_alive()
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as error:
            raise self._error(f"is not up after {timeout_s:g} s") from error

    def require_alive(self) -> None:
        """Raise `PartError` when it has ended with an error and was not stopped by us."""
        if self.process.returncode and not self._is_stopping:
            raise self._error(f"ended with exit code {self.process.returncode}")

    async def follow(self, on_line: Callable[[str], None]) -> None:
        """Hand over each line that it prints, until it has ended; raises `PartError` when that was a crash."""
        assert self.process.stdout is not None  # noqa: S101 - it was asked for
        async for line in self.process.stdout:
            text = line.decode(errors="replace").rstrip()
            self._last_lines.append(text)
            on_line(text)
        await self.process.wait()
        self.require_alive()

    async def stop(self) -> None:
        """End it, kindly first."""
        self._is_stopping = True
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), STOP_S)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()

    def _error(self, what: str) -> PartError:
        return PartError("\n".join([f"{self.name} {what}; it printed last:", *self._last_lines]))


@contextlib.asynccontextmanager
async def running_child(
    name: str, command: Sequence[str], on_line: Callable[[str], None], *, env: Mapping[str, str] | None = None
) -> AsyncIterator[Child]:
    """Run a command while the context is open.

    In a session of its own: Ctrl-C reaches it through us, in the order in which we stop, and not from the terminal.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
        env=env,
        limit=MAX_LINE_BYTES,
    )
    child = Child(name, process)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(child.follow(on_line))
        try:
            yield child
        finally:
            await child.stop()


async def answers_ok(url: str) -> bool:
    """Tell whether a GET gives 200 now."""
    try:
        async with aiohttp.ClientSession() as http, http.get(url) as response:
            return response.status == 200  # noqa: PLR2004 - OK
    except aiohttp.ClientError:
        return False


async def accepts(host: str, port: int) -> bool:
    """Tell whether something listens on a TCP port now."""
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True


def free_ports(host: str, wanted: Sequence[int]) -> list[int]:
    """Return each wanted port, or some other one that is free where it is taken or 0; raises `PartError`."""
    chosen: list[int] = []
    for port in wanted:
        candidates = itertools.chain([port] if port else [], _own_ports())
        found = next((one for one in candidates if one not in chosen and _is_free(host, one)), None)
        if found is None:
            raise PartError(f"no free port on {host}")
        chosen.append(found)
    return chosen


def _own_ports() -> Iterator[int]:
    """Yield the ports that this process tries, each once, from where it left off.

    Whoever is to listen on one binds it later. Processes begun one after the other have other ports, and the kernel
    gives none of them to a connection: nobody takes it meanwhile.
    """
    first = FIRST_PORT + os.getpid() % SHARES * PORTS_A_SHARE
    for turn in itertools.islice(_turns, PORTS_A_SHARE):
        yield first + turn % PORTS_A_SHARE


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((host, port))
        except OSError:
            return False
        return True
