"""What is compared, each behind an Envoy of its own."""

import contextlib
import enum
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from epp.demo.parts import HOST, PickerPorts, running_configured_envoy, running_picker
from epp.demo.process import accepts, free_ports, running_child
from load.gateway import GatewayPorts, gateway_config
from load.kernel import listening_pid
from load.plan import Address, Case, Plan


class Kind(enum.StrEnum):
    """What answers Envoy's questions."""

    EPP = "epp"
    ECHO = "echo"
    PEER = "peer"
    NOBODY = "no ext_proc"


@dataclass(frozen=True, slots=True)
class Subject:
    """One of those that are compared."""

    kind: Kind
    transport: str = ""

    @property
    def name(self) -> str:
        """As tables name it."""
        return f"{self.kind}/{self.transport}" if self.transport else str(self.kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who is asked, while it runs."""

    address: Address | None = None
    pid: int | None = None
    """None: of another machine, or another user."""
    metrics_port: int | None = None
    """Of our own picker only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A subject behind its Envoy."""

    subject: Subject
    asked: Asked
    endpoint: str
    """One of the pool."""
    envoy_pid: int
    ports: GatewayPorts

    @property
    def url(self) -> str:
        """Where clients send their requests."""
        return f"http://{HOST}:{self.ports.clients}"


@contextlib.asynccontextmanager
async def running_subject(subject: Subject, case: Case, endpoints: Sequence[str], plan: Plan) -> AsyncIterator[Running]:
    """Run a subject and its Envoy, which has one worker."""
    is_secure = subject.kind is Kind.PEER and plan.is_peer_secure
    async with running_asked(subject, endpoints, plan.peer) as asked:
        ports = GatewayPorts(*free_ports(HOST, [0, 0]))
        config = gateway_config(ports, case, asked.address, is_secure=is_secure)
        async with running_configured_envoy(config, ports=[ports.clients, ports.admin]) as envoy:
            yield Running(subject=subject, asked=asked, endpoint=endpoints[0], envoy_pid=envoy.process.pid, ports=ports)


@contextlib.asynccontextmanager
async def running_asked(subject: Subject, endpoints: Sequence[str], peer: Address | None) -> AsyncIterator[Asked]:
    """Run who is asked; a peer runs already."""
    match subject.kind:
        case Kind.EPP:
            async with _running_epp(subject.transport, endpoints) as asked:
                yield asked
        case Kind.ECHO:
            async with _running_echo(subject.transport, endpoints[0]) as asked:
                yield asked
        case Kind.PEER:
            assert peer is not None  # noqa: S101 - it is a subject only where it has an address
            host = socket.gethostbyname(peer.host)
            yield Asked(address=Address(host, peer.port), pid=listening_pid(peer.port) if is_local(host) else None)
        case Kind.NOBODY:
            yield Asked()


def is_local(host: str) -> bool:
    """Tell whether an IPv4 address is one of this machine."""
    with socket.socket() as one:
        try:
            one.bind((host, 0))
        except OSError:
            return False
        return True


@contextlib.asynccontextmanager
async def _running_epp(transport: str, endpoints: Sequence[str]) -> AsyncIterator[Asked]:
    """Run ``epp serve`` with its default profile, and without TLS."""
    ports = PickerPorts(*free_ports(HOST, [0, 0, 0]))
    flags = ("--v=1", "--secure-serving=false", "--transport", transport)
    async with running_picker(endpoints, ports=ports, flags=flags, on_line=lambda _: None) as child:
        yield Asked(address=Address(HOST, ports.ext_proc), pid=child.process.pid, metrics_port=ports.metrics)


@contextlib.asynccontextmanager
async def _running_echo(transport: str, destination: str) -> AsyncIterator[Asked]:
    (port,) = free_ports(HOST, [0])
    script = Path(__file__).with_name("echo.py")
    command = [sys.executable, str(script), transport, str(port), destination]
    async with running_child("echo", command, lambda _: None) as child:
        await child.wait_until(partial(accepts, HOST, port))
        yield Asked(address=Address(HOST, port), pid=child.process.pid)
