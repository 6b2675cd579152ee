"""The ext_proc service on `grpc.aio`."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from grpc._cython import cygrpc  # the only place that has a name for "the write failed"
from structlog.typing import FilteringBoundLogger

from epp._pb.external_processor_pb2 import ProcessingRequest, ProcessingResponse
from epp.director import Director
from epp.extproc.budget import BodyBudget, BodyShare
from epp.extproc.conversation import Conversation, Stream
from epp.extproc.session import Session
from epp.observability import Metrics

SERVICE = "envoy.service.ext_proc.v3.ExternalProcessor"
MAX_PENDING_STREAMS = 100_000
"""Streams that have arrived and are not yet looked at; gRPC by itself cancels some of a burst of more than 1000."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What streams may take."""

    max_request_body_bytes: int
    max_held_body_bytes: int
    """Over all streams together."""
    stream_idle_timeout_s: float


class ExtProcService:
    """Serves ext_proc streams: one stream is one HTTP request."""

    def __init__(self, director: Director, *, limits: Limits, metrics: Metrics, log: FilteringBoundLogger) -> None:
        self.director = director
        self._limits = limits
        self._budget = BodyBudget(limits.max_held_body_bytes, metrics.body_bytes_held)
        self._metrics = metrics
        self._log = log
        self._tasks: dict[asyncio.Task[None], Conversation] = {}

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register the service under Envoy's name for it."""
        method = grpc.stream_stream_rpc_method_handler(
            self.process,
            request_deserializer=ProcessingRequest.FromString,
            response_serializer=ProcessingResponse.SerializeToString,
        )
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Process": method}),))

    async def process(self, _requests: object, stream: "RpcStream") -> None:
        """Hold one conversation until the gateway ends it, clean or by cancelling: both are normal.

        A fault of ours ends the stream with an error, so that the gateway applies its failure mode.
        """
        with self._conversation(stream) as conversation:
            try:
                await conversation.hold()
            except cygrpc.ExecuteBatchError:
                # The gateway went away while we wrote.
                return
            except DecodeError as error:
                self._log.warning("undecodable_message", error=repr(error))
                await stream.abort(grpc.StatusCode.INVALID_ARGUMENT, "a message is no ProcessingRequest")
            except Exception as fault:  # noqa: BLE001 - the top of a stream: logged, counted, told to the gateway
                self._metrics.session_failed()
                self._log.error("session_failed", error=repr(fault), exc_info=fault)
                await stream.abort(grpc.StatusCode.INTERNAL, "the endpoint picker failed; its log has the details")

    def end_answered_streams(self) -> None:
        """End the streams whose requests are answered, without an error: their answers go on without the picker.

        Only what a gateway still wanted to show in full duplex is lost.
        """
        for task, conversation in self._tasks.items():
            if conversation.end_if_answered():
                task.cancel()

    @contextlib.contextmanager
    def _conversation(self, stream: Stream) -> Iterator[Conversation]:
        """Yield a conversation, and release all that it held when it is over, also when we end it ourselves."""
        session = Session(any_endpoint=self.director.any_endpoint, max_body_bytes=self._limits.max_request_body_bytes)
        conversation = Conversation(
            stream,
            session,
            director=self.director,
            share=BodyShare(self._budget),
            idle_timeout_s=self._limits.stream_idle_timeout_s,
        )
        task = _own_task()
        self._tasks[task] = conversation
        self._metrics.stream_opened()
        try:
            yield conversation
        except asyncio.CancelledError:
            if not conversation.has_ended:
                raise
            task.uncancel()
        finally:
            del self._tasks[task]
            conversation.release()
            self._metrics.stream_closed(*session.body_modes)


class RpcStream(Stream, Protocol):
    """What the service needs of `grpc.aio.ServicerContext` beside what a conversation does."""

    def abort(self, code: grpc.StatusCode, details: str) -> Awaitable[None]:
        """End the stream with an error."""
        ...


def _own_task() -> asyncio.Task[None]:
    """Return the task that gRPC runs this stream in; raises `RuntimeError` outside of one."""
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a stream is served in a task of its own")
    return task


async def start_listening(server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None) -> None:
    """Bind the server to ``host:port``, with TLS when there are credentials; raises `OSError` when it cannot."""
    try:
        if credentials is None:
            server.add_insecure_port(address)
        else:
            server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise OSError(f"cannot listen on {address}: the address is in use or not ours") from error
    await server.start()


def make_server(service: Callable[[grpc.aio.Server], None], *, max_message_bytes: int) -> grpc.aio.Server:
    """Return a server with one service, not yet listening; a larger message ends its stream.

    Port sharing is off: a second picker on the same port must fail loudly instead of getting half of the streams.
    """
    options = [
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.server.max_pending_requests", MAX_PENDING_STREAMS),
        ("grpc.server.max_pending_requests_hard_limit", MAX_PENDING_STREAMS),
    ]
    server = grpc.aio.server(options=options)
    service(server)
    return server
