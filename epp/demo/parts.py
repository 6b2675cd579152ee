"""The parts of a demo, each as the process that it is in production."""

import asyncio
import contextlib
import functools
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from epp.demo.envoy import Json, Listener, envoy_config, find_envoy
from epp.demo.process import Child, accepts, answers_ok, running_child

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class PickerPorts:
    """Where a picker listens."""

    ext_proc: int
    health: int
    metrics: int


@contextlib.asynccontextmanager
async def running_model_servers(ports: Sequence[int], *, flags: Sequence[str] = ()) -> AsyncIterator[Child]:
    """Run ``epp simulate`` until the context closes; entered when every server answers."""
    command = [*_epp("simulate"), *(flag for port in ports for flag in ("--port", str(port))), *flags]
    async with running_child("epp simulate", command, _ignore) as child:
        for port in ports:
            await child.wait_until(_answering(f"http://{HOST}:{port}/health"))
        yield child


@contextlib.asynccontextmanager
async def running_picker(
    endpoints: Sequence[str], *, ports: PickerPorts, flags: Sequence[str] = (), on_line: Callable[[str], None]
) -> AsyncIterator[Child]:
    """Run ``epp serve`` until the context closes; entered when it is ready. ``on_line`` gets each line of its log."""
    pool = [flag for endpoint in endpoints for flag in ("--endpoint", endpoint)]
    async with starting_picker([*pool, *flags], ports=ports, on_line=on_line) as child:
        await child.wait_until(_answering(f"http://{HOST}:{ports.metrics}/readyz"))
        yield child


@contextlib.asynccontextmanager
async def starting_picker(
    flags: Sequence[str], *, ports: PickerPorts, on_line: Callable[[str], None]
) -> AsyncIterator[Child]:
    """Run ``epp serve`` until the context closes; entered when it answers, ready or not."""
    command = [
        *_epp("serve"),
        *("--bind-address", HOST),
        *("--grpc-port", str(ports.ext_proc)),
        *("--grpc-health-port", str(ports.health)),
        *("--metrics-port", str(ports.metrics)),
        *("--drain-delay", "0s"),
        *flags,
    ]
    async with running_child("epp serve", command, on_line) as child:
        await child.wait_until(_answering(f"http://{HOST}:{ports.metrics}/healthz"))
        yield child


@contextlib.asynccontextmanager
async def running_envoy(
    listeners: Sequence[Listener], *, picker_ports: Sequence[int], secure: bool = True
) -> AsyncIterator[Child]:
    """Run Envoy until the context closes; entered when it listens."""
    config = envoy_config(listeners, picker_ports=picker_ports, host=HOST, secure=secure)
    async with running_configured_envoy(config, ports=[listener.port for listener in listeners]) as child:
        yield child


@contextlib.asynccontextmanager
async def running_configured_envoy(config: Json, *, ports: Sequence[int]) -> AsyncIterator[Child]:
    """Run Envoy with any configuration; entered when it listens on ``ports``."""
    with tempfile.TemporaryDirectory(prefix="epp-envoy-") as directory:
        file = f"{directory}/envoy.json"
        await asyncio.to_thread(Path(file).write_text, json.dumps(config))
        command = [str(find_envoy()), "-c", file, "--concurrency", "1", "-l", "warning", "--disable-hot-restart"]
        async with running_child("envoy", command, _ignore) as child:
            for port in ports:
                await child.wait_until(functools.partial(accepts, HOST, port))
            yield child


def _epp(command: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "epp", command)


def _answering(url: str) -> Callable[[], Awaitable[bool]]:
    return lambda: answers_ok(url)


def _ignore(line: str) -> None:
    """Keep nothing of an output that is only interesting when its process fails to start."""
