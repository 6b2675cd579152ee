"""The adapter: reads, feeds, acts, writes, and gives back what it held however the stream ends."""

import asyncio
from collections.abc import Sequence

import grpc
import grpc.aio
import pytest

from epp._pb import external_processor_pb2 as pb
from epp._pb.base_pb2 import HeaderMap, HeaderValue
from epp.director import ArrivedRequest, Director, RoutedRequest
from epp.extproc.grpc_server import ExtProcService
from epp.observability import Metrics
from epp.plugin.testing import make_context, make_endpoint
from tests.fakes.picker import director_of, value_of

HEAD = HeaderMap(
    headers=[HeaderValue(key=":method", raw_value=b"GET"), HeaderValue(key=":path", raw_value=b"/v1/models")]
)
GET = pb.ProcessingRequest(request_headers=pb.HttpHeaders(headers=HEAD, end_of_stream=True))


class FakeStream:
    """A stream whose messages are given, and which then ends, is cancelled, or breaks."""

    def __init__(self, messages: Sequence[pb.ProcessingRequest], *, then: BaseException | None = None) -> None:
        self._messages = list(messages)
        self._then = then
        self.written: list[pb.ProcessingResponse] = []
        self.aborted: grpc.StatusCode | None = None
        self.is_cancelled = False

    async def read(self) -> pb.ProcessingRequest:
        if self._messages:
            return self._messages.pop(0)
        if self._then is not None:
            raise self._then
        end: pb.ProcessingRequest = grpc.aio.EOF
        return end

    async def write(self, message: pb.ProcessingResponse) -> None:
        self.written.append(message)

    def cancelled(self) -> bool:
        return self.is_cancelled

    async def abort(self, code: grpc.StatusCode, details: str) -> None:
        assert details
        self.aborted = code


class CountsEnds:
    """A director that counts what is given back to it."""

    def __init__(self) -> None:
        self._director = director_of([make_endpoint()])
        self.ends = 0

    async def route(self, arrived: ArrivedRequest) -> RoutedRequest:
        return await self._director.route(arrived)

    def ended(self, routed: RoutedRequest) -> None:
        self.ends += 1


class Breaks(CountsEnds):
    """A director with a bug."""

    async def route(self, arrived: ArrivedRequest) -> RoutedRequest:
        raise ZeroDivisionError("a bug")


async def serve(director: CountsEnds, stream: FakeStream) -> Metrics:
    context = make_context()
    metrics = Metrics(context.metrics.registry)
    service = ExtProcService(director, metrics=metrics, log=context.log)  # type: ignore[arg-type]
    await service.process(None, stream)
    return metrics


async def test_routed_request_is_given_back_once_when_the_stream_ends() -> None:
    director, stream = CountsEnds(), FakeStream([GET])
    await serve(director, stream)
    assert len(stream.written) == 1
    assert director.ends == 1


async def test_routed_request_is_given_back_once_when_the_stream_is_cancelled() -> None:
    director, stream = CountsEnds(), FakeStream([GET], then=asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        await serve(director, stream)
    assert director.ends == 1


async def test_stream_without_a_routed_request_gives_nothing_back() -> None:
    director = CountsEnds()
    await serve(director, FakeStream([]))
    assert director.ends == 0


async def test_fault_of_ours_ends_the_stream_with_an_error_and_is_counted() -> None:
    director, stream = Breaks(), FakeStream([GET])
    metrics = await serve(director, stream)
    assert stream.aborted is grpc.StatusCode.INTERNAL
    assert value_of(metrics, "epp_session_errors_total") == 1.0
    assert director.ends == 0


async def test_write_that_fails_because_the_gateway_went_away_is_no_fault() -> None:
    class GoesAway(FakeStream):
        async def write(self, message: pb.ProcessingResponse) -> None:
            self.is_cancelled = True
            raise RuntimeError("the batch failed")

    director, stream = CountsEnds(), GoesAway([GET])
    metrics = await serve(director, stream)
    assert stream.aborted is None
    assert director.ends == 1
    assert value_of(metrics, "epp_session_errors_total") == 0.0


async def test_rejection_is_an_answer_and_no_fault() -> None:
    class Rejects(CountsEnds):
        def __init__(self) -> None:
            super().__init__()
            self._director: Director = director_of([])

    stream = FakeStream([GET, GET])
    metrics = await serve(Rejects(), stream)
    assert [answer.WhichOneof("response") for answer in stream.written] == ["immediate_response"]
    assert stream.aborted is None
    assert value_of(metrics, "epp_session_errors_total") == 0.0
