"""Real processes for tests: the picker as operators start it, and an Envoy in front of it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from epp.demo import parts
from epp.demo.envoy import BodyMode, Listener
from epp.demo.parts import HOST, PickerPorts
from epp.demo.process import Child, free_ports

PATIENCE_S = 20.0
OK = 200


@dataclass(slots=True)
class RunningPicker:
    """``epp serve`` in a process of its own."""

    ports: PickerPorts
    child: Child
    events: list[dict[str, Any]] = field(default_factory=list)

    async def metric(self, name: str) -> float:
        """The sum of a metric's samples, read over HTTP; 0 when it has none. Raises `LookupError` for no metric."""
        async with aiohttp.ClientSession() as http, http.get(f"http://{HOST}:{self.ports.metrics}/metrics") as response:
            lines = (await response.text()).splitlines()
        samples = [line for line in lines if line.startswith((f"{name} ", f"{name}{{"))]
        if not samples and f"# TYPE {name.partition('{')[0]} " not in "\n".join(lines):
            raise LookupError(f"there is no metric {name}")
        return sum(float(line.rsplit(" ", 1)[1]) for line in samples)

    async def readiness(self) -> tuple[int, str]:
        """Return status and text of ``/readyz``."""
        async with aiohttp.ClientSession() as http, http.get(f"http://{HOST}:{self.ports.metrics}/readyz") as response:
            return response.status, await response.text()

    async def wait_until_ready(self) -> None:
        """Return when it is; fails when it does not get there."""
        async with asyncio.timeout(PATIENCE_S):
            while (await self.readiness())[0] != OK:
                await asyncio.sleep(0.05)

    async def wait_for_metric(self, name: str, value: float) -> None:
        """Return when a metric has a value; fails when it does not get there."""
        async with asyncio.timeout(PATIENCE_S):
            while await self.metric(name) != value:
                await asyncio.sleep(0.05)

    async def event(self, **wanted: object) -> dict[str, Any]:
        """Return the first log event with these values; waits for it, fails when it does not come."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for event in self.events:
                    if wanted.items() <= event.items():
                        return event
                await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def running_picker(endpoints: Sequence[str], *flags: str) -> AsyncIterator[RunningPicker]:
    """Run ``epp serve`` on free ports until the context closes; it scrapes often, so that tests need not wait."""
    ports = PickerPorts(*free_ports(HOST, [0, 0, 0]))
    events: list[dict[str, Any]] = []
    flags = ("--refresh-metrics-interval", "200ms", *flags)
    async with parts.running_picker(
        endpoints, ports=ports, flags=flags, on_line=lambda line: events.append(_event(line))
    ) as child:
        yield RunningPicker(ports, child, events)


@contextlib.asynccontextmanager
async def starting_picker(*flags: str) -> AsyncIterator[RunningPicker]:
    """Run ``epp serve`` on free ports until the context closes; entered when it answers, ready or not."""
    ports = PickerPorts(*free_ports(HOST, [0, 0, 0]))
    events: list[dict[str, Any]] = []
    async with parts.starting_picker(flags, ports=ports, on_line=lambda line: events.append(_event(line))) as child:
        yield RunningPicker(ports, child, events)


@contextlib.asynccontextmanager
async def running_envoy(picker: RunningPicker, body_mode: BodyMode) -> AsyncIterator[str]:
    """Run Envoy with the configuration of the demo; yields its URL."""
    (port,) = free_ports(HOST, [0])
    listener = Listener(port=port, request_body=body_mode)
    async with parts.running_envoy([listener], picker_ports=[picker.ports.ext_proc]):
        yield f"http://{HOST}:{port}"


def _event(line: str) -> dict[str, Any]:
    """Return a log line as its event; one that is no JSON is kept under ``text``."""
    try:
        event: dict[str, Any] = json.loads(line)
    except json.JSONDecodeError:
        return {"text": line}
    return event
