"""Listening for HTTP."""

import asyncio
import gc
import socket
import weakref

import pytest
from aiohttp import web

from epp.demo.parts import HOST
from epp.demo.process import free_ports
from epp.serving import freeze_memory, listening_http


@pytest.mark.parametrize("has_ipv6", [True, False])
async def test_all_interfaces_are_those_that_the_kernel_has(monkeypatch: pytest.MonkeyPatch, *, has_ipv6: bool) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: has_ipv6)
    (port,) = free_ports(HOST, [0])
    async with listening_http(web.Application(), host="::", port=port):
        _, writer = await asyncio.open_connection(HOST, port)
        writer.close()


def test_what_is_there_at_the_start_is_passed_over_by_the_garbage_collector() -> None:
    class Cycle:
        """Something that only the garbage collector finds."""

        def __init__(self) -> None:
            self.itself = self

    kept, dropped = Cycle(), weakref.ref(Cycle())
    try:
        freeze_memory()
        assert dropped() is None
        assert all(one is not kept for one in gc.get_objects())
    finally:
        gc.unfreeze()
