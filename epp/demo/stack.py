"""All parts together: model servers, picker, Envoy."""

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from epp.demo.envoy import BodyMode, Listener
from epp.demo.parts import HOST, PickerPorts, running_envoy, running_model_servers, running_picker
from epp.demo.process import Child, free_ports

MODEL = "tiny"
ENVOY_PORT = 8080
PICKER_PORTS = (9002, 9003, 9090)
MODEL_SERVER_PORTS = (8101, 8102, 8103)


@dataclass(frozen=True, slots=True)
class StackOptions:
    """What may differ between two stacks."""

    body_mode: BodyMode = BodyMode.FULL_DUPLEX
    endpoints: Sequence[str] = ()
    """``host:port`` of model servers that run already; simulated ones are started when there are none."""
    is_pool_in_config: bool = False
    """The picker's configuration names them, so the picker is not told of them again."""
    simulator_flags: Sequence[str] = ()
    picker_flags: Sequence[str] = ()
    on_picker_line: Callable[[str], None] = print
    """Gets each line of the picker's log."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A running stack: where its parts listen, all on loopback."""

    envoy_port: int
    picker_ports: PickerPorts
    model_servers: Sequence[str]
    picker: Child

    @property
    def url(self) -> str:
        """Where clients send their requests."""
        return f"http://{HOST}:{self.envoy_port}"


@contextlib.asynccontextmanager
async def running_stack(options: StackOptions) -> AsyncIterator[Stack]:
    """Start everything, and stop it in reverse; raises `PartError` with the output of the part that failed."""
    envoy_port, *ports = free_ports(HOST, [ENVOY_PORT, *PICKER_PORTS, *MODEL_SERVER_PORTS])
    picker_ports, server_ports = PickerPorts(*ports[:3]), ports[3:]
    async with contextlib.AsyncExitStack() as parts:
        endpoints = options.endpoints
        if not endpoints:
            flags = ["--model", MODEL, *options.simulator_flags]
            await parts.enter_async_context(running_model_servers(server_ports, flags=flags))
            endpoints = [f"{HOST}:{port}" for port in server_ports]
        named = () if options.is_pool_in_config else endpoints
        picker = await parts.enter_async_context(
            running_picker(named, ports=picker_ports, flags=options.picker_flags, on_line=options.on_picker_line)
        )
        await parts.enter_async_context(
            running_envoy(
                [Listener(port=envoy_port, request_body=options.body_mode)], picker_ports=[picker_ports.ext_proc]
            )
        )
        yield Stack(envoy_port, picker_ports, endpoints, picker)
