"""Listening for HTTP."""

import asyncio
import socket

import pytest
from aiohttp import web

from epp.demo.parts import HOST
from epp.demo.process import free_ports
from epp.serving import listening_http


@pytest.mark.parametrize("has_ipv6", [True, False])
async def test_all_interfaces_are_those_that_the_kernel_has(monkeypatch: pytest.MonkeyPatch, *, has_ipv6: bool) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: has_ipv6)
    (port,) = free_ports(HOST, [0])
    async with listening_http(web.Application(), host="::", port=port):
        _, writer = await asyncio.open_connection(HOST, port)
        writer.close()
