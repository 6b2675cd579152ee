"""What every serving process does alike: run until told to stop, and listen for HTTP."""

import asyncio
import contextlib
import gc
import resource
import signal
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager

from aiohttp import web

ALL_INTERFACES = "::"
SHUTDOWN_S = 1.0
"""How long connections that are busy may keep a listener from closing."""
KEEPALIVE_S = 60
"""After so long without a packet the kernel asks whether a peer is still there."""
KEEPALIVE_PROBES = 3


def raise_file_limit() -> int:
    """Allow as many open files as the system does, as Go programs do; returns that number.

    A connection to each endpoint for its page, and one for its events, are more than the 1,024 that many systems allow
    a program until it asks for more.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def freeze_memory() -> None:
    """Have the garbage collector pass over all that is there now: each time it looks through that, everybody waits."""
    gc.collect()
    gc.freeze()


class Stop:
    """Set by the signals that end a process; a person who is waiting, or a second signal, is in a hurry."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self._hurried = asyncio.Event()

    def ask(self, *, hurried: bool = False) -> None:
        """Note a signal."""
        if hurried or self._asked.is_set():
            self._hurried.set()
        self._asked.set()

    @property
    def is_hurried(self) -> bool:
        """Tell whether somebody is in a hurry."""
        return self._hurried.is_set()

    async def wait(self) -> None:
        """Return when the process should stop."""
        await self._asked.wait()

    async def is_later_than(self, event: asyncio.Event) -> bool:
        """Wait for an event, or until the process should stop; returns whether the event came first."""
        async with asyncio.TaskGroup() as group:
            waiting = {group.create_task(event.wait()), group.create_task(self._asked.wait())}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in waiting:
                task.cancel()
        return event.is_set()

    async def delay(self, seconds: float) -> None:
        """Return after some seconds; at once for somebody in a hurry, or when nobody asked to stop."""
        if not self._asked.is_set():
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._hurried.wait(), seconds)


def stop_signal(*more: signal.Signals) -> Stop:
    """Return a `Stop` that SIGTERM, SIGINT and any ``more`` set, in place of ending the process."""
    stop = Stop()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, *more):
        loop.add_signal_handler(number, stop.ask)
    loop.add_signal_handler(signal.SIGINT, lambda: stop.ask(hurried=True))
    return stop


@asynccontextmanager
async def listening_http(application: web.Application, *, host: str, port: int) -> AsyncIterator[None]:
    """Serve while the context is open; raises `OSError` when the port cannot be had.

    A client that goes away cancels its handler at once, so that what it held is free. The host ``::`` is all
    interfaces, for IPv4 too, as it is for gRPC.
    """
    runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    try:
        try:
            await _site(runner, host, port).start()
        except OSError as error:
            raise OSError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
        yield
    finally:
        await runner.cleanup()


def address(host: str, port: int) -> str:
    """Return ``host:port`` as gRPC and people want it: IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def socket_on_all(port: int) -> socket.socket:
    """Return a socket that listens on all interfaces, those of IPv4 too where the kernel has IPv6; raises `OSError`.

    asyncio by itself takes IPv6 alone on ``::``, and has no socket for it on a kernel without IPv6.
    """
    if not socket.has_dualstack_ipv6():
        return socket.create_server(("0.0.0.0", port))  # noqa: S104 - as asked for
    return socket.create_server((ALL_INTERFACES, port), family=socket.AF_INET6, dualstack_ipv6=True)


def _site(runner: web.AppRunner, host: str, port: int) -> web.BaseSite:
    """Return a listener; raises `OSError`."""
    if host != ALL_INTERFACES:
        return web.TCPSite(runner, host, port)
    return web.SockSite(runner, socket_on_all(port))


@contextlib.asynccontextmanager
async def background(*coroutines: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run tasks while the context is open; one that fails ends the context: a service without it is broken."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(coroutine) for coroutine in coroutines]
        yield
        for task in tasks:
            task.cancel()


def keep_alive(sock: socket.socket | None) -> None:
    """Have the kernel find out whether a peer is still there, where there is a network between."""
    if sock is not None and sock.family in {socket.AF_INET, socket.AF_INET6}:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_S // KEEPALIVE_PROBES)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
