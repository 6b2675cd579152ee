"""The parts as separate processes: model servers, picker, Envoy."""

import asyncio
import contextlib
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from epp.demo.envoy import BodyMode, envoy_config, find_envoy
from epp.demo.process import Child, accepts, answers_ok, free_ports, running_child

HOST = "127.0.0.1"
MODEL = "tiny"
REPLICAS = 3
WANTED_PORTS = (8080, 9002, 9003, 9090, *range(8101, 8101 + REPLICAS))


@dataclass(frozen=True, slots=True)
class StackOptions:
    """What may differ between two demos."""

    body_mode: BodyMode = BodyMode.FULL_DUPLEX
    config_file: str | None = None
    simulator_flags: tuple[str, ...] = ()
    verbosity: int = 2
    on_picker_line: Callable[[str], None] = print


@dataclass(frozen=True, slots=True)
class Stack:
    """A running demo: where its parts listen, all on loopback."""

    envoy_port: int
    ext_proc_port: int
    health_port: int
    metrics_port: int
    model_server_ports: tuple[int, ...]
    picker: Child

    @property
    def url(self) -> str:
        """Where clients send their requests."""
        return f"http://{HOST}:{self.envoy_port}"

    @property
    def model_servers(self) -> list[str]:
        """``host:port`` of each model server."""
        return [f"{HOST}:{port}" for port in self.model_server_ports]

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, options: StackOptions) -> AsyncIterator["Stack"]:
        """Start everything, and stop it in reverse; raises `StartError` with the output of the part that failed."""
        envoy = find_envoy()
        envoy_port, ext_proc_port, health_port, metrics_port, *servers = free_ports(HOST, WANTED_PORTS)
        async with contextlib.AsyncExitStack() as parts:
            await parts.enter_async_context(_model_servers(servers, options))
            picker = await parts.enter_async_context(
                _picker(servers, ports=(ext_proc_port, health_port, metrics_port), options=options)
            )
            await parts.enter_async_context(_envoy(envoy, envoy_port, ext_proc_port, options=options))
            yield cls(envoy_port, ext_proc_port, health_port, metrics_port, tuple(servers), picker)


@contextlib.asynccontextmanager
async def _model_servers(ports: list[int], options: StackOptions) -> AsyncIterator[Child]:
    names = [flag for port in ports for flag in ("--port", str(port))]
    command = [sys.executable, "-m", "epp", "simulate", "--model", MODEL, *names, *options.simulator_flags]
    async with running_child("epp simulate", command, _ignore) as child:
        for port in ports:
            await child.wait_until(lambda port=port: answers_ok(f"http://{HOST}:{port}/health"))  # type: ignore[misc]
        yield child


@contextlib.asynccontextmanager
async def _picker(servers: list[int], *, ports: tuple[int, int, int], options: StackOptions) -> AsyncIterator[Child]:
    ext_proc_port, health_port, metrics_port = ports
    command = [
        *(sys.executable, "-m", "epp", "serve", "--bind-address", HOST),
        *("--grpc-port", str(ext_proc_port)),
        *("--grpc-health-port", str(health_port)),
        *("--metrics-port", str(metrics_port)),
        *("--v", str(options.verbosity)),
        *(flag for port in servers for flag in ("--endpoint", f"{HOST}:{port}")),
        *(("--config-file", options.config_file) if options.config_file else ()),
    ]
    async with running_child("epp serve", command, options.on_picker_line) as child:
        await child.wait_until(lambda: answers_ok(f"http://{HOST}:{metrics_port}/readyz"))
        yield child


@contextlib.asynccontextmanager
async def _envoy(binary: Path, port: int, ext_proc_port: int, *, options: StackOptions) -> AsyncIterator[Child]:
    config = envoy_config(port=port, ext_proc_port=ext_proc_port, body_mode=options.body_mode, host=HOST)
    with tempfile.TemporaryDirectory(prefix="epp-demo-") as directory:
        file = f"{directory}/envoy.json"
        await asyncio.to_thread(Path(file).write_text, json.dumps(config))
        command = [str(binary), "-c", file, "--concurrency", "1", "-l", "warning", "--disable-hot-restart"]
        async with running_child("envoy", command, _ignore) as child:
            await child.wait_until(lambda: accepts(HOST, port))
            yield child


def _ignore(line: str) -> None:
    """Keep nothing of an output that is only interesting when its process fails to start."""
