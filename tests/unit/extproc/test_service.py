"""A stream is read, fed to its session, answered, and gives back what it held, however it ends."""

import asyncio
import itertools
from collections.abc import Iterable, Sequence

import pytest
from google.protobuf.message import DecodeError

from epp._pb import external_processor_pb2 as pb
from epp.director import ArrivedRequest, Director, RoutedRequest
from epp.extproc.rpc import OK, Code, StreamLostError
from epp.extproc.service import ExtProcService, Limits
from epp.observability import Metrics
from epp.plugin.testing import make_context, make_endpoint
from tests.fakes import virtual_time
from tests.fakes.ext_proc import BUFFERED, DUPLEX, body, destination_of, given_back, head, kinds
from tests.fakes.picker import director_and_metrics, value_of

GET = head(end_of_stream=True, headers={":method": "GET", ":path": "/v1/models"})
LIMITS = Limits(max_request_body_bytes=1000, max_held_body_bytes=10_000, stream_idle_timeout_s=60)


class FakeStream:
    """A stream whose messages are given, a number standing for seconds of silence.

    Then it ends, or ``then`` is raised; it goes on forever when that is `NEVER`.
    """

    def __init__(self, messages: Sequence[pb.ProcessingRequest | float], *, then: BaseException | None = None) -> None:
        self._messages = list(messages)
        self._then = then
        self.written: list[pb.ProcessingResponse] = []
        self.written_at: list[float] = []
        self.status = OK

    async def read(self) -> pb.ProcessingRequest | None:
        while self._messages:
            message = self._messages.pop(0)
            if isinstance(message, pb.ProcessingRequest):
                return message
            await asyncio.sleep(message)
        if self._then is not None:
            raise self._then
        return None

    async def write(self, messages: Iterable[bytes]) -> None:
        for message in messages:
            self.written.append(pb.ProcessingResponse.FromString(message))
            self.written_at.append(asyncio.get_running_loop().time())

    async def lost(self) -> None:
        await asyncio.Event().wait()

    def cancel(self) -> None:
        raise AssertionError("nobody ends streams here")


class Breaks(Director):
    """A director with a bug."""

    def __init__(self) -> None:
        """Have nothing."""

    async def route(self, arrived: ArrivedRequest) -> RoutedRequest:
        raise ZeroDivisionError("a bug")


async def serve(stream: FakeStream, *, director: Director | None = None) -> Metrics:
    sound, metrics = director_and_metrics([make_endpoint()])
    service = ExtProcService(director or sound, limits=LIMITS, metrics=metrics, log=make_context().log)
    stream.status = await service.serve(stream)
    return metrics


def in_flight(metrics: Metrics) -> tuple[float | None, float | None]:
    """Requests in flight, and how many have ended."""
    return value_of(metrics, "epp_requests_in_flight"), value_of(metrics, "epp_request_duration_seconds_count")


async def test_routed_request_is_given_back_once_when_the_stream_ends() -> None:
    stream = FakeStream([GET])
    metrics = await serve(stream)
    assert len(stream.written) == 1
    assert in_flight(metrics) == (0, 1)


async def test_routed_request_is_given_back_once_when_the_stream_is_cancelled() -> None:
    sound, metrics = director_and_metrics([make_endpoint()])
    service = ExtProcService(sound, limits=LIMITS, metrics=metrics, log=make_context().log)
    with pytest.raises(asyncio.CancelledError):
        await service.serve(FakeStream([GET], then=asyncio.CancelledError()))
    assert in_flight(metrics) == (0, 1)
    assert value_of(metrics, "epp_streams_open") == 0


@pytest.mark.parametrize(
    "messages", list(itertools.accumulate([[], [head()], [body(b"a")], [body(end=True)]])), ids=len
)
async def test_cancellation_at_any_point_leaves_nothing(messages: Sequence[pb.ProcessingRequest]) -> None:
    sound, metrics = director_and_metrics([make_endpoint()])
    service = ExtProcService(sound, limits=LIMITS, metrics=metrics, log=make_context().log)
    with pytest.raises(asyncio.CancelledError):
        await service.serve(FakeStream(messages, then=asyncio.CancelledError()))
    for name in ("epp_requests_in_flight", "epp_streams_open", "epp_body_bytes_held"):
        assert value_of(metrics, name) == 0, name


@pytest.mark.parametrize(
    "messages", list(itertools.accumulate([[], [head()], [body(b"a")], [body(end=True)]])), ids=len
)
@pytest.mark.parametrize("after_s", [0.0, 1.0])
def test_stream_that_is_cancelled_leaves_no_task(messages: Sequence[pb.ProcessingRequest], after_s: float) -> None:
    """Before and after it was given up waiting for the rest of it."""
    sound, metrics = director_and_metrics([make_endpoint()])
    service = ExtProcService(sound, limits=LIMITS, metrics=metrics, log=make_context().log)

    async def cancelled() -> None:
        task = asyncio.ensure_future(service.serve(FakeStream([*messages, 50.0])))
        await asyncio.sleep(after_s)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert service._conversations == set()

    virtual_time.run(cancelled())
    for name in ("epp_requests_in_flight", "epp_streams_open", "epp_body_bytes_held"):
        assert value_of(metrics, name) == 0, name


async def test_stream_without_a_routed_request_gives_nothing_back() -> None:
    assert in_flight(await serve(FakeStream([]))) == (0, 0)


async def test_fault_of_ours_ends_the_stream_with_an_error_and_is_counted() -> None:
    stream = FakeStream([GET])
    metrics = await serve(stream, director=Breaks())
    assert stream.status.code is Code.INTERNAL
    assert value_of(metrics, "epp_session_errors_total") == 1.0


async def test_write_that_fails_because_the_gateway_went_away_is_no_fault() -> None:
    class GoesAway(FakeStream):
        async def write(self, messages: Iterable[bytes]) -> None:
            for _ in messages:
                raise StreamLostError

    stream = GoesAway([GET])
    metrics = await serve(stream)
    assert stream.status is OK
    assert in_flight(metrics) == (0, 1)
    assert value_of(metrics, "epp_session_errors_total") == 0.0


async def test_message_that_cannot_be_decoded_is_the_gateways_fault() -> None:
    stream = FakeStream([], then=DecodeError("no message"))
    metrics = await serve(stream)
    assert stream.status.code is Code.INVALID_ARGUMENT
    assert value_of(metrics, "epp_session_errors_total") == 0.0


async def test_rejection_is_an_answer_and_no_fault() -> None:
    director, _ = director_and_metrics([])
    stream = FakeStream([GET, GET])
    metrics = await serve(stream, director=director)
    assert [answer.immediate_response.status.code for answer in stream.written] == [503]
    assert value_of(metrics, "epp_session_errors_total") == 0.0


async def test_body_over_the_limit_is_answered_with_413_and_counted() -> None:
    stream = FakeStream([head(), body(b"x" * 600), body(b"x" * 600), body(b"x" * 600, end=True)])
    metrics = await serve(stream)
    assert [answer.immediate_response.status.code for answer in stream.written] == [413]
    labels = {"code": "413", "reason": "rejected-body-too-large"}
    assert value_of(metrics, "epp_request_errors_total", **labels) == 1
    assert value_of(metrics, "epp_body_bytes_held") == 0


def test_gateway_that_waits_for_the_headers_answer_gets_it_before_its_patience_ends() -> None:
    """Envoy waits for 200 ms unless it is told otherwise."""
    stream = FakeStream([head(request_mode=None), 10.0, body(b"late", end=True)])
    virtual_time.run(serve(stream))
    assert kinds(stream.written) == ["request_headers", "request_body"]
    assert destination_of(stream.written[0]) == "10.0.0.1:8000"
    assert stream.written_at[0] < 0.2
    assert given_back(stream.written[1:]) == b"late"


@pytest.mark.parametrize("messages", [[GET], [head(request_mode=None), 10.0]], ids=["read", "waited for"])
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        pytest.param(DecodeError("no message"), Code.INVALID_ARGUMENT, id="cannot be decoded"),
        pytest.param(StreamLostError(), Code.OK, id="gateway went away"),
    ],
)
def test_fault_of_the_gateway_is_not_ours(
    messages: Sequence[pb.ProcessingRequest | float], fault: Exception, code: Code
) -> None:
    stream = FakeStream(messages, then=fault)
    metrics = virtual_time.run(serve(stream))
    assert stream.status.code is code
    assert value_of(metrics, "epp_session_errors_total") == 0.0


def test_stream_that_keeps_silent_within_a_request_is_answered_with_408() -> None:
    stream = FakeStream([head(request_mode=BUFFERED), 61.0, body(b"{}", end=True)])
    metrics = virtual_time.run(serve(stream))
    assert kinds(stream.written) == ["request_headers", "immediate_response"]
    assert stream.written[1].immediate_response.status.code == 408
    assert value_of(metrics, "epp_request_errors_total", code="408", reason="rejected-idle") == 1


def test_answer_to_a_gateway_that_was_not_waited_for_may_take_as_long_as_it_takes() -> None:
    stream = FakeStream([head(request_mode=None), 10_000.0])
    virtual_time.run(serve(stream))
    assert kinds(stream.written) == ["request_headers"]


def test_stream_whose_request_is_complete_may_be_silent_for_as_long_as_the_answer_takes() -> None:
    stream = FakeStream([GET, 10_000.0])
    virtual_time.run(serve(stream))
    assert kinds(stream.written) == ["request_headers"]


def test_stream_that_waits_for_room_too_long_is_refused() -> None:
    """One that trickles holds all the room; the other is told to come back."""
    sound, metrics = director_and_metrics([make_endpoint()])
    limits = Limits(max_request_body_bytes=1000, max_held_body_bytes=10, stream_idle_timeout_s=60)
    service = ExtProcService(sound, limits=limits, metrics=metrics, log=make_context().log)
    trickling = FakeStream([head(), body(b"x" * 10), *[piece for _ in range(99) for piece in (50.0, body(b"x"))]])
    waiting = FakeStream([1.0, head(), body(b"y"), body(b"y"), body(end=True)])
    small = FakeStream([2.0, head(), body(b'{"model":"m","prompt":"p"}', end=True)])

    async def serve_all() -> None:
        async with asyncio.TaskGroup() as group:
            for stream in (trickling, waiting, small):
                group.create_task(service.serve(stream))

    virtual_time.run(serve_all())
    assert [answer.immediate_response.status.code for answer in waiting.written] == [429]
    assert kinds(small.written) == ["request_headers", "request_body"]


def test_silence_is_counted_from_the_last_message() -> None:
    chat = b'{"model":"m","prompt":"p"}'
    pieces = [piece for i in range(len(chat)) for piece in (50.0, body(chat[i : i + 1]))]
    stream = FakeStream([head(request_mode=DUPLEX), body(b""), *pieces, body(end=True)])
    virtual_time.run(serve(stream))
    assert given_back(stream.written[1:]) == chat


class Slow(Director):
    """A director that takes its time, and then has a bug."""

    def __init__(self, takes_s: float) -> None:
        self._takes_s = takes_s

    async def route(self, arrived: ArrivedRequest) -> RoutedRequest:
        await asyncio.sleep(self._takes_s)
        raise ZeroDivisionError("a bug")


@pytest.mark.parametrize("silence_s", [0.5, 10_000.0], ids=["while it decides", "while it waits"])
def test_fault_while_the_gateway_is_silent_ends_the_stream(silence_s: float) -> None:
    """Whether the next message comes before the fault, or not at all."""
    stream = FakeStream([head(request_mode=None), silence_s, body(b"late", end=True)])
    metrics = virtual_time.run(serve(stream, director=Slow(1.0)))
    assert stream.status.code is Code.INTERNAL
    assert value_of(metrics, "epp_session_errors_total") == 1.0


def test_stream_that_is_cancelled_while_it_decides_leaves_no_task() -> None:
    _, metrics = director_and_metrics([make_endpoint()])
    service = ExtProcService(Slow(100.0), limits=LIMITS, metrics=metrics, log=make_context().log)

    async def cancelled() -> None:
        task = asyncio.ensure_future(service.serve(FakeStream([head(request_mode=None), 50.0])))
        await asyncio.sleep(1.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert asyncio.get_running_loop().time() < 10.0

    virtual_time.run(cancelled())
