"""What a connection owes its calls and its gateway when either does not do as it should."""

import asyncio

import pytest
from hyperframe.frame import DataFrame, PingFrame, RstStreamFrame

from epp.extproc.framing import framed
from epp.extproc.hyper_connection import MAX_UNANSWERED_BYTES
from epp.extproc.rpc import OK, Call, Status
from tests.fakes.gateway import Gateway, data_of, reasons_of
from tests.fakes.transports import ECHO, HANGS, PATIENCE_S, echo

PROTOCOL_ERROR = 1
MUCH = bytes(range(256)) * 2_400


async def hangs(call: Call) -> Status:
    await call.lost()
    return OK


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


async def answers_much(call: Call) -> Status:
    await call.read()
    await call.write([MUCH])
    return OK


async def test_answers_that_are_more_than_the_engine_keeps_go_out_in_the_turn_in_which_they_are_written() -> None:
    gateway = Gateway({ECHO: answers_much})
    gateway.widen(2 * len(MUCH) + 1_000)
    for stream in (1, 3):
        gateway.open(stream)
    await gateway.answers()
    gateway.connection.data_received(b"".join(DataFrame(stream, framed(b"x")).serialize() for stream in (1, 3)))
    received = gateway.received()
    for stream in (1, 3):
        assert data_of(frame for frame in received if frame.stream_id == stream) == framed(MUCH)


async def test_answer_waits_for_a_gateway_that_does_not_read() -> None:
    gateway = Gateway({ECHO: answers_much})
    gateway.widen(len(MUCH) + 1_000)
    gateway.open(1)
    await gateway.answers()
    gateway.connection.pause_writing()
    gateway.say(1, b"x")
    assert data_of(await gateway.answers()) == b""
    gateway.connection.resume_writing()
    assert data_of(await gateway.answers()) == framed(MUCH)


async def test_gateway_that_reads_nothing_is_not_read_for_ever() -> None:
    """Every ping wants an answer, which has to be kept."""
    gateway = Gateway({ECHO: echo})
    gateway.connection.pause_writing()
    pings = PingFrame(0, b"12345678").serialize() * 1000
    sent = 0
    while gateway.wire.is_read:
        gateway.connection.data_received(pings)
        sent += len(pings)
    assert sent < MAX_UNANSWERED_BYTES + 2 * len(pings)
    gateway.connection.resume_writing()
    assert gateway.wire.is_read
    assert len(gateway.received()) > sent // len(pings)
    gateway.connection.data_received(pings)
    assert gateway.wire.is_read


async def test_message_that_a_handler_cannot_read_ends_its_call_with_a_status() -> None:
    """Not every handler catches what `Call.read` raises; the health service does not."""

    async def reads(call: Call) -> Status:
        await call.read()
        return OK

    gateway = Gateway({ECHO: reads})
    gateway.open(1)
    gateway.send(DataFrame(1, b"\x01\x00\x00\x00\x01x"))
    assert gateway.trailers_of(1, await gateway.answers())["grpc-status"] == "12"


@pytest.mark.parametrize("said", ["9" * 9 + "S", "9" * 400 + "S", "9" * 5000 + "H", "\xb2S"])
async def test_timeout_that_makes_no_sense_is_none(said: str) -> None:
    gateway = Gateway({ECHO: echo})
    gateway.open(1, grpc_timeout=said)
    gateway.say(1, is_last=True)
    assert gateway.trailers_of(1, await gateway.answers())["grpc-status"] == "0"


@pytest.mark.parametrize("turns", range(4))
async def test_stream_that_comes_while_the_others_are_ended_does_not_keep_the_connection(turns: int) -> None:
    gateway = Gateway({HANGS: hangs})
    gateway.open(1, HANGS)
    await gateway.answers()
    ending = asyncio.ensure_future(gateway.connection.cancel())
    for _ in range(turns):
        await asyncio.sleep(0)
    gateway.open(3, HANGS)
    await asyncio.wait_for(ending, PATIENCE_S)
    assert gateway.wire.is_closed


async def test_stream_whose_handler_panics_is_reset_and_the_others_go_on() -> None:
    class PanicError(BaseException):
        """As extensions in Rust raise it."""

    async def panics(call: Call) -> Status:
        await call.read()
        raise PanicError("a bug")

    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    gateway = Gateway({ECHO: echo, HANGS: panics})
    gateway.open(1, HANGS)
    gateway.open(3, ECHO)
    await gateway.answers()
    gateway.send(DataFrame(1, framed(b"x")), DataFrame(3, framed(b"y"), flags=["END_STREAM"]))
    frames = await gateway.answers()
    assert [frame.stream_id for frame in frames if isinstance(frame, RstStreamFrame)] == [1]
    assert gateway.trailers_of(3, frames)["grpc-status"] == "0"
