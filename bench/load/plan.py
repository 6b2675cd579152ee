"""What is measured, and for how long."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from epp.demo.envoy import BodyMode

LATENCY, IDLE, MEMORY = "latency", "idle", "memory"
TRANSPORTS = ("hyper", "grpcio")
ENDPOINTS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is sent, and what of it is shown to a picker."""

    name: str
    body_bytes: int = 1_000
    chunks: int = 0
    """Pieces of a streamed answer, shown in full duplex; 0: a short answer, whose body is not shown."""
    pause_s: float = 0.0
    """Between two pieces. Without one Envoy reads several at once, and shows them to the picker as one."""
    endpoints: int = ENDPOINTS
    sees_answers: bool = True
    """Whether the head of an answer is shown."""

    @property
    def response_body(self) -> BodyMode:
        """How much of an answer is shown."""
        return BodyMode.FULL_DUPLEX if self.chunks else BodyMode.NONE


SMALL = Case(name="1 KB")
LARGE = Case(name="400 KB", body_bytes=400_000)
STREAMED = Case(name="1 KB, 1000 chunks", chunks=1_000)
PACED = Case(name="1 KB, 1000 chunks, 2 ms apart", chunks=1_000, pause_s=0.002)
CASES = (
    Case(name="1 KB, request only", sees_answers=False),
    SMALL,
    Case(name="40 KB", body_bytes=40_000),
    LARGE,
    Case(name="1 KB, 100 chunks", chunks=100),
    STREAMED,
    PACED,
    Case(name="1 KB, 100 endpoints", endpoints=100),
    Case(name="1 KB, 1000 endpoints", endpoints=1_000),
)
NAMES = (*(case.name for case in CASES), LATENCY, IDLE, MEMORY)


@dataclass(frozen=True, slots=True)
class Address:
    """Where another picker listens."""

    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do in one run."""

    names: Sequence[str] = NAMES
    """Of `NAMES`: cases and other measurements."""
    transports: Sequence[str] = TRANSPORTS
    seconds: float = 3.0
    """How long one subject gets requests in one round."""
    rounds: int = 3
    prompts: int = 100_000
    """Distinct prompts before memory is read again."""
    peer: Address | None = None
    is_peer_secure: bool = False
    upstream_port: int = 0
    """Where the model servers listen, on 127.0.0.1 and the addresses after it; 0: any free port."""

    @property
    def cases(self) -> list[Case]:
        """Those that were chosen."""
        return [case for case in CASES if case.name in self.names]


def read_plan(arguments: Sequence[str]) -> Plan:
    """Return the plan of a command line; exits with 2 when it cannot be read."""
    plan = Plan()
    parser = argparse.ArgumentParser(prog="load", description="What a request costs, beside Envoy and beside an echo.")
    parser.add_argument("--only", action="append", choices=NAMES, metavar="NAME", help=f"one of: {'; '.join(NAMES)}")
    parser.add_argument("--transport", action="append", choices=TRANSPORTS)
    parser.add_argument("--seconds", type=float, default=plan.seconds, help="for a subject in a round")
    parser.add_argument("--rounds", type=int, default=plan.rounds)
    parser.add_argument("--prompts", type=int, default=plan.prompts, help="distinct ones, for the memory")
    parser.add_argument("--peer", type=read_address, metavar="HOST:PORT", help="another ext_proc picker")
    parser.add_argument("--peer-tls", action="store_true", help="the other picker serves TLS")
    parser.add_argument("--upstream-port", type=int, default=0, help="of the model servers, 127.0.0.1 to 127.0.0.10")
    read = parser.parse_args(arguments)
    return Plan(
        names=read.only or NAMES,
        transports=read.transport or TRANSPORTS,
        seconds=read.seconds,
        rounds=read.rounds,
        prompts=read.prompts,
        peer=read.peer,
        is_peer_secure=read.peer_tls,
        upstream_port=read.upstream_port,
    )


def read_address(text: str) -> Address:
    """Return the address that ``host:port`` names; raises `argparse.ArgumentTypeError`."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return Address(host, int(port))
