"""The adapter between `grpc.aio` and `Session`: reads, feeds, acts, writes."""

from collections.abc import Awaitable, Callable
from typing import Protocol

import grpc
import grpc.aio
from structlog.typing import FilteringBoundLogger

from epp._pb.external_processor_pb2 import ProcessingRequest, ProcessingResponse
from epp.director import ArrivedRequest, Director, RoutedRequest
from epp.extproc.session import Session
from epp.observability import Metrics
from epp.plugin import Rejection

SERVICE = "envoy.service.ext_proc.v3.ExternalProcessor"
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""Largest message taken: in BUFFERED mode a whole request body is one message."""


class ExtProcService:
    """Serves ext_proc streams: one stream is one HTTP request."""

    def __init__(self, director: Director, *, metrics: Metrics, log: FilteringBoundLogger) -> None:
        self._director = director
        self._metrics = metrics
        self._log = log

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
        conversation = _Conversation(self._director, stream)
        try:
            await conversation.hold()
        except Exception as fault:  # noqa: BLE001 - the top of a stream: logged, counted, told to the gateway
            if stream.cancelled():
                # The gateway went away while we wrote: grpc reports that as a failed write.
                return
            self._metrics.session_failed()
            self._log.error("session_failed", error=repr(fault), exc_info=fault)
            await stream.abort(grpc.StatusCode.INTERNAL, "the endpoint picker failed; its log has the details")
        finally:
            conversation.release()


class Stream(Protocol):
    """What a conversation needs of `grpc.aio.ServicerContext`."""

    def read(self) -> Awaitable[ProcessingRequest]:
        """Return the next message, or `grpc.aio.EOF`."""
        ...

    def write(self, message: ProcessingResponse) -> Awaitable[None]:
        """Send one answer."""
        ...


class RpcStream(Stream, Protocol):
    """What the service needs of it beside."""

    def cancelled(self) -> bool:
        """Tell whether the other side has cancelled the stream."""
        ...

    def abort(self, code: grpc.StatusCode, details: str) -> Awaitable[None]:
        """End the stream with an error."""
        ...


class _Conversation:
    """One stream: its session, and the routed request that it holds."""

    def __init__(self, director: Director, stream: Stream) -> None:
        self._director = director
        self._stream = stream
        self._session = Session()
        self._routed: RoutedRequest | None = None

    async def hold(self) -> None:
        """Answer messages until the gateway has no more."""
        while await self._exchange():
            pass

    async def _exchange(self) -> bool:
        """Take one message and answer it; tells whether there was one.

        A call for each message, so that no variable keeps a body alive while the next message is awaited: that can
        take as long as the answer streams.
        """
        message = await self._stream.read()
        if message is grpc.aio.EOF:
            return False
        request = self._session.receive(message)
        if request is not None:
            await self._decide(request)
        for answer in self._session.take_answers():
            await self._stream.write(answer)
        return True

    async def _decide(self, request: ArrivedRequest) -> None:
        try:
            self._routed = await self._director.route(request)
        except Rejection as rejection:
            self._session.reject(rejection)
        else:
            self._session.route(self._routed.decision)

    def release(self) -> None:
        """Give the routed request back, exactly once."""
        routed, self._routed = self._routed, None
        if routed is not None:
            self._director.ended(routed)


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


def make_server(service: Callable[[grpc.aio.Server], None]) -> grpc.aio.Server:
    """Return a server with one service, not yet listening.

    Port sharing is off: a second picker on the same port must fail loudly instead of getting half of the streams.
    """
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES)])
    service(server)
    return server
