"""One stream: reads messages, feeds the session, acts on its events, writes its answers."""

import asyncio
from collections.abc import Awaitable, Coroutine, Iterable
from typing import Any, Protocol

from epp._pb.external_processor_pb2 import ProcessingRequest
from epp.director import ArrivedRequest, Director, RoutedRequest
from epp.extproc.budget import BodyShare
from epp.extproc.rpc import StreamLostError
from epp.extproc.session import Session
from epp.extproc.waiting import Begun, Impatience
from epp.plugin import DropReason, Rejection
from epp.strand import in_task

IDLE = Rejection(DropReason.IDLE, "the rest of the request did not come in time")
ROOM_TIMEOUT_S = 30.0
"""How long a stream waits for room for the rest of its body, which others hold, before it is refused."""


class Stream(Protocol):
    """One ext_proc stream."""

    def read(self) -> Coroutine[Any, Any, ProcessingRequest | None]:
        """Return the next message, ``None`` after the last one; raises `StreamLostError` or `RpcError`."""
        ...

    def write(self, messages: Iterable[bytes]) -> Awaitable[None]:
        """Send serialized answers that belong together, none or more of them; raises `StreamLostError`."""
        ...

    def lost(self) -> Awaitable[None]:
        """Return when the gateway has gone away: for waits in which nothing is read or written."""
        ...

    def cancel(self) -> None:
        """Raise `asyncio.CancelledError` where it waits."""
        ...


class Conversation:
    """One stream's session, and the routed request that it holds."""

    def __init__(
        self, stream: Stream, session: Session, *, director: Director, share: BodyShare, idle_timeout_s: float
    ) -> None:
        self._stream = stream
        self._session = session
        self._director = director
        self._share = share
        self._idle_timeout_s = idle_timeout_s
        self._routed: RoutedRequest | None = None
        self._is_answered = False
        self.has_ended = False
        """It was ended by us: being cancelled is then no error."""

    def end_if_answered(self) -> None:
        """End it by cancelling its stream, if nothing but the rest of an answer is to come."""
        self.has_ended = self._is_answered
        if self.has_ended:
            self._stream.cancel()

    async def hold(self) -> None:
        """Answer messages until the gateway has no more."""
        while await self._exchange():
            pass

    def release(self) -> None:
        """Give everything back that the stream held, exactly once."""
        self._share.hold(0)
        routed, self._routed = self._routed, None
        if routed is not None:
            routed.ended()

    async def _exchange(self) -> bool:
        """Take one message and answer it; tells whether there may be another.

        A call for each message, so that no variable keeps a body alive while the next message is awaited: that can
        take as long as the answer streams.
        """
        try:
            message = await self._next()
        except (TimeoutError, Rejection) as refused:
            self._reject(refused if isinstance(refused, Rejection) else IDLE)
            await self._write_answers()
            return False
        if message is None:
            return False
        try:
            arrived = self._session.receive(message)
        except Rejection as rejection:
            self._reject(rejection)
        else:
            if self._session.is_collecting or arrived is not None:
                self._note_held()
            if arrived is not None:
                await self._decide(arrived)
        await self._write_answers()
        return True

    async def _next(self) -> ProcessingRequest | None:
        """Return the next message; raises `TimeoutError` when a request that is incomplete gets no further."""
        session = self._session
        if not session.is_collecting:
            return await self._stream.read()
        may_be_waiting = session.may_be_waiting
        if session.held_bytes and not may_be_waiting:
            # One that holds nothing takes one message more in: often it is all, and done with at once.
            await self._wait_for_room()
        reading = Begun(self._stream.read())
        if reading.is_done:
            return reading.result
        await in_task()
        if may_be_waiting:
            # If it does not come soon, decide without it, and then wait as long as it takes.
            async with Impatience(self._act):
                return await reading
        async with asyncio.timeout(self._idle_timeout_s):
            return await reading

    async def _wait_for_room(self) -> None:
        """Return when this stream may hold more.

        Raises `Rejection` when that takes too long, `StreamLostError` when the gateway does not wait for it.
        """
        if self._share.has_room:
            return
        await in_task()
        async with asyncio.TaskGroup() as group:
            waits = [group.create_task(self._share.wait_for_room()), group.create_task(_lost(self._stream))]
            done, _ = await asyncio.wait(waits, timeout=ROOM_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
        if not done:
            message = "the picker holds as many request bodies as it may; retry later"
            raise Rejection(DropReason.NO_ROOM, message)
        if waits[0] not in done:
            raise StreamLostError

    async def _act(self) -> None:
        """Decide with what there is."""
        arrived = self._session.lose_patience()
        if arrived is not None:
            await self._decide(arrived)
        await self._write_answers()

    async def _decide(self, arrived: ArrivedRequest) -> None:
        try:
            self._routed = await self._director.route(arrived)
        except Rejection as rejection:
            self._session.reject(rejection)
        else:
            self._session.route(self._routed)

    def _reject(self, rejection: Rejection) -> None:
        self._director.reject(self._session.request, rejection)
        self._session.reject(rejection)

    async def _write_answers(self) -> None:
        if self._session.has_answers:
            await self._stream.write(self._session.take_answers())
        if self._share.held_bytes:
            self._note_held()
        self._is_answered = self._routed is not None

    def _note_held(self) -> None:
        held_bytes = self._session.held_bytes
        if held_bytes != self._share.held_bytes:
            self._share.hold(held_bytes)


async def _lost(stream: Stream) -> None:
    await stream.lost()
