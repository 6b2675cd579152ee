"""What gRPC transports have in common: a call is read, answered, lost, and ended with a status.

On the wire a call with one message each way is no other than a stream, so there is one kind of them here.
"""

import enum
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

SERVICE = "envoy.service.ext_proc.v3.ExternalProcessor"
METHOD = f"/{SERVICE}/Process"


class Code(enum.IntEnum):
    """Status codes of gRPC that the picker uses (grpc.io, "Status codes and their use in gRPC")."""

    OK = 0
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    INTERNAL = 13


@dataclass(frozen=True, slots=True)
class Status:
    """How a stream ends."""

    code: Code
    message: str = ""


OK = Status(Code.OK)


class RpcError(Exception):
    """The stream cannot go on; says how it ends."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.status = Status(code, message)


class StreamLostError(Exception):
    """The gateway has gone away, or has cancelled the stream."""


class Call(Protocol):
    """One call of a method: messages as bytes."""

    def read(self) -> Awaitable[bytes | None]:
        """Return the next message, ``None`` after the last one; raises `StreamLostError` or `RpcError`."""
        ...

    def write(self, messages: Iterable[bytes]) -> Awaitable[None]:
        """Send messages that belong together, none or more of them; raises `StreamLostError`."""
        ...

    def lost(self) -> Awaitable[None]:
        """Return when the caller has gone away: for waits in which nothing is read or written."""
        ...

    def cancel(self) -> None:
        """Raise `asyncio.CancelledError` where the handler waits."""
        ...


Handler = Callable[[Call], Awaitable[Status]]
"""Answers a call; returns how it ends. It may be begun outside of a task: see `epp.strand`."""
Methods = Mapping[str, Handler]
"""By path, such as ``/grpc.health.v1.Health/Check``."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A key and its certificate, as PEM."""

    key: bytes
    chain: bytes


class Server(Protocol):
    """Serves methods on a port."""

    async def start(self, host: str, port: int) -> None:
        """Listen; raises `OSError` when it cannot."""
        ...

    async def stop(self, grace_s: float) -> None:
        """Take no more calls, let those in flight finish for so long, then end them."""
        ...
