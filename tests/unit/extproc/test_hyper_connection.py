"""What a connection owes its calls and its gateway when either does not do as it should."""

import asyncio

from epp.extproc.framing import framed
from epp.extproc.rpc import OK, Call, Status
from tests.fakes.gateway import Gateway, data_of, reasons_of
from tests.fakes.transports import ECHO, HANGS, echo

PROTOCOL_ERROR = 1


async def test_violation_ends_calls_and_connection_although_the_gateway_reads_nothing() -> None:
    lost: list[str] = []

    async def hangs(call: Call) -> Status:
        await call.lost()
        lost.append("told")
        return OK

    gateway = Gateway({HANGS: hangs})
    gateway.open(1, HANGS)
    await gateway.answers()
    gateway.connection.pause_writing()
    gateway.violate()
    assert reasons_of(await gateway.answers()) == [PROTOCOL_ERROR]
    assert (lost, gateway.wire.is_closed) == (["told"], True)
    gateway.violate()
    assert await gateway.answers() == []


async def test_what_was_answered_goes_out_before_a_drained_connection_is_closed() -> None:
    gateway = Gateway({ECHO: echo})
    gateway.open(1)
    await gateway.answers()
    draining = asyncio.ensure_future(gateway.connection.drain())
    gateway.acknowledge(await gateway.answers())
    gateway.connection.pause_writing()
    gateway.say(1, b"late", is_last=True)
    assert data_of(await gateway.answers()) == framed(b"late")
    await draining
    assert gateway.wire.is_closed
