"""Two pickers behind an Envoy are restarted one after the other, under load: no request is lost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from epp.demo import parts
from epp.demo.envoy import BodyMode, Listener
from epp.demo.parts import HOST, PickerPorts
from epp.demo.process import free_ports
from tests.fakes.clients import CLIENTS, Load, long_answer
from tests.fakes.upstream import Upstream, running_upstreams

FLAGS = ("--drain-delay", "3s", "--drain-timeout", "1s", "--v=1")
"""The delay is longer than Envoy's health check takes to notice; the timeout is shorter than the long answers."""
SETTLED_S = 3.0
"""Until Envoy's health check has seen that a new picker is there."""
LONG_ANSWER_EVENTS = 60
EVENT_EVERY_S = 0.15


@contextlib.asynccontextmanager
async def restarted(upstreams: list[Upstream], ports: PickerPorts) -> AsyncIterator[asyncio.Event]:
    """Run a picker, and whenever the event is set restart it; the event is clear again when the new one is ready."""
    restart = asyncio.Event()
    names = [upstream.name for upstream in upstreams]

    async def keep_running() -> None:
        while True:
            async with parts.running_picker(names, ports=ports, flags=FLAGS, on_line=lambda _: None) as child:
                restart.clear()
                await restart.wait()
                child.process.terminate()
                await child.process.wait()

    async with asyncio.TaskGroup() as group:
        running = group.create_task(keep_running())
        restart.set()
        await cleared(restart)
        yield restart
        running.cancel()


async def cleared(event: asyncio.Event) -> None:
    async with asyncio.timeout(30):
        while event.is_set():
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("response_mode", [BodyMode.NONE])
async def test_no_request_is_lost_when_pickers_are_restarted(response_mode: BodyMode) -> None:
    ports = [PickerPorts(*free_ports(HOST, [0, 0, 0])) for _ in range(2)]
    (envoy_port,) = free_ports(HOST, [0])
    listener = Listener(port=envoy_port, response_body=response_mode)
    async with (
        running_upstreams(2) as upstreams,
        restarted(upstreams, ports[0]) as first,
        restarted(upstreams, ports[1]) as second,
        parts.running_envoy([listener], picker_ports=[one.ext_proc for one in ports]),
    ):
        for upstream in upstreams:
            upstream.event_every_s = EVENT_EVERY_S
            upstream.events = long_answer(LONG_ANSWER_EVENTS)
        load = Load(f"http://{HOST}:{envoy_port}")
        async with asyncio.TaskGroup() as group:
            group.create_task(load.run())
            for picker in (first, second):
                await asyncio.sleep(SETTLED_S)
                picker.set()
                await cleared(picker)
            load.is_over = True
    assert set(load.statuses) == {200}, load.statuses
    assert load.statuses[200] > 10 * CLIENTS
