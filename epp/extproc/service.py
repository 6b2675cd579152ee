"""The ext_proc service: one stream is one HTTP request. Transports are adapters around it."""

import asyncio
from dataclasses import dataclass

from google.protobuf.message import DecodeError
from structlog.typing import FilteringBoundLogger

from epp._pb.external_processor_pb2 import ProcessingRequest
from epp.director import Director
from epp.extproc.budget import BodyBudget, BodyShare
from epp.extproc.conversation import Conversation, Stream
from epp.extproc.rpc import METHOD, OK, Call, Code, Methods, RpcError, Status, StreamLostError
from epp.extproc.session import Session
from epp.observability import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What streams may take."""

    max_request_body_bytes: int
    max_held_body_bytes: int
    """Over all streams together."""
    stream_idle_timeout_s: float


class ExtProcStream:
    """A call of the ext_proc service, as messages."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.lost = call.lost
        self.write = call.write
        self.cancel = call.cancel

    async def read(self) -> ProcessingRequest | None:
        """Return the next message, ``None`` after the last one; raises `DecodeError` for what is none."""
        content = await self._call.read()
        return None if content is None else ProcessingRequest.FromString(content)


class ExtProcService:
    """Holds the conversations."""

    def __init__(self, director: Director, *, limits: Limits, metrics: Metrics, log: FilteringBoundLogger) -> None:
        self.director = director
        self._limits = limits
        self._budget = BodyBudget(limits.max_held_body_bytes, metrics.body_bytes_held)
        self._metrics = metrics
        self._log = log
        self._conversations: set[Conversation] = set()

    @property
    def methods(self) -> Methods:
        """What it serves."""
        return {METHOD: lambda call: self.serve(ExtProcStream(call))}

    async def serve(self, stream: Stream) -> Status:
        """Hold one conversation until the gateway ends it, clean or by cancelling: both are normal.

        Returns how the stream ends. A fault of ours ends it with an error, so that the gateway applies its failure
        mode.
        """
        session = Session(any_endpoint=self.director.any_endpoint, max_body_bytes=self._limits.max_request_body_bytes)
        conversation = Conversation(
            stream,
            session,
            director=self.director,
            share=BodyShare(self._budget),
            idle_timeout_s=self._limits.stream_idle_timeout_s,
        )
        self._conversations.add(conversation)
        self._metrics.stream_opened()
        try:
            return await self._hold(conversation)
        except asyncio.CancelledError:
            if not conversation.has_ended:
                raise
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
            return OK
        finally:
            # All that it held is released, also when we end it ourselves.
            self._conversations.discard(conversation)
            conversation.release()
            self._metrics.stream_closed(*session.body_modes)

    def end_answered_streams(self) -> None:
        """End the streams whose requests are answered, without an error: their answers go on without the picker.

        Only what a gateway still wanted to show in full duplex is lost.
        """
        for conversation in list(self._conversations):
            conversation.end_if_answered()

    async def _hold(self, conversation: Conversation) -> Status:
        try:
            await conversation.hold()
        except StreamLostError:
            pass
        except RpcError as error:
            self._log.warning("stream_refused", code=error.status.code.name, message=error.status.message)
            return error.status
        except DecodeError as error:
            self._log.warning("undecodable_message", error=repr(error))
            return Status(Code.INVALID_ARGUMENT, "a message is no ProcessingRequest")
        except Exception as fault:  # noqa: BLE001 - the top of a stream: logged, counted, told to the gateway
            self._metrics.session_failed()
            self._log.error("session_failed", error=repr(fault), exc_info=fault)
            return Status(Code.INTERNAL, "the endpoint picker failed; its log has the details")
        return OK
