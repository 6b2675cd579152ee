"""What every serving process does alike: run until told to stop, and listen for HTTP."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

SHUTDOWN_S = 1.0
"""How long connections that are busy may keep a listener from closing."""


def stop_signal(*more: signal.Signals) -> asyncio.Event:
    """Return an event that SIGTERM, SIGINT and any ``more`` set, in place of ending the process."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, *more):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


@asynccontextmanager
async def listening_http(application: web.Application, *, host: str, port: int) -> AsyncIterator[None]:
    """Serve while the context is open; raises `OSError` when the port cannot be had.

    A client that goes away cancels its handler at once, so that what it held is free.
    """
    runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise OSError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
        yield
    finally:
        await runner.cleanup()
