"""Real processes for tests: the picker as operators start it, and an Envoy in front of it."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from epp.demo.envoy import BodyMode, envoy_config, find_envoy
from epp.demo.process import Child, accepts, answers_ok, free_ports, running_child

HOST = "127.0.0.1"
PATIENCE_S = 20.0


@dataclass(slots=True)
class RunningPicker:
    """``epp serve`` in a process of its own."""

    ext_proc_port: int
    health_port: int
    metrics_port: int
    child: Child
    events: list[dict[str, Any]] = field(default_factory=list)

    async def metric(self, name: str) -> float:
        """The sum of a metric's samples, read over HTTP; 0 when it has none."""
        async with aiohttp.ClientSession() as http, http.get(f"http://{HOST}:{self.metrics_port}/metrics") as response:
            lines = (await response.text()).splitlines()
        samples = [line for line in lines if line.startswith((f"{name} ", f"{name}{{"))]
        return sum(float(line.rsplit(" ", 1)[1]) for line in samples)

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
    """Run ``epp serve`` on free ports until the context closes."""
    ext_proc_port, health_port, metrics_port = free_ports(HOST, [0, 0, 0])
    command = [
        *(sys.executable, "-m", "epp", "serve", "--bind-address", HOST, "--refresh-metrics-interval", "200ms"),
        *("--grpc-port", str(ext_proc_port)),
        *("--grpc-health-port", str(health_port)),
        *("--metrics-port", str(metrics_port)),
        *(flag for endpoint in endpoints for flag in ("--endpoint", endpoint)),
        *flags,
    ]
    events: list[dict[str, Any]] = []
    async with running_child("epp serve", command, lambda line: events.append(_event(line))) as child:
        await child.wait_until(lambda: answers_ok(f"http://{HOST}:{metrics_port}/readyz"))
        yield RunningPicker(ext_proc_port, health_port, metrics_port, child, events)


@contextlib.asynccontextmanager
async def running_envoy(
    directory: Path, picker: RunningPicker, body_mode: BodyMode, *, secure: bool = True
) -> AsyncIterator[str]:
    """Run Envoy with the configuration of the demo; yields its URL."""
    (port,) = free_ports(HOST, [0])
    config = envoy_config(port=port, ext_proc_port=picker.ext_proc_port, body_mode=body_mode, secure=secure)
    file = directory / f"envoy-{port}.json"
    file.write_text(json.dumps(config))
    command = [str(find_envoy()), "-c", str(file), "--concurrency", "1", "-l", "warning", "--disable-hot-restart"]
    async with running_child("envoy", command, _drop) as child:
        await child.wait_until(lambda: accepts(HOST, port))
        yield f"http://{HOST}:{port}"


def _event(line: str) -> dict[str, Any]:
    """Return a log line as its event; one that is no JSON is kept under ``text``."""
    try:
        event: dict[str, Any] = json.loads(line)
    except json.JSONDecodeError:
        return {"text": line}
    return event


def _drop(line: str) -> None:
    """Envoy's own output is shown only when it does not start."""
