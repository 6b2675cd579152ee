"""One stream: reads messages, feeds the session, acts on its events, writes its answers."""

import asyncio
from collections.abc import Awaitable
from typing import Protocol

import grpc.aio

from epp._pb.external_processor_pb2 import ProcessingRequest, ProcessingResponse
from epp.director import ArrivedRequest, Director, RoutedRequest
from epp.extproc.budget import BodyShare
from epp.extproc.session import Session
from epp.plugin import DropReason, Rejection

IDLE = Rejection(DropReason.IDLE, "the rest of the request did not come in time")
PATIENCE_S = 0.15
"""How long a gateway may be silent after a request's head before it is taken to wait for our answer.

Shorter than the 200 ms that Envoy waits for one by default.
"""


ROOM_TIMEOUT_S = 30.0
"""How long a stream waits for room for the rest of its body, which others hold, before it is refused."""


class Stream(Protocol):
    """What a conversation needs of `grpc.aio.ServicerContext`."""

    def read(self) -> Awaitable[ProcessingRequest]:
        """Return the next message, or `grpc.aio.EOF`."""
        ...

    def write(self, message: ProcessingResponse) -> Awaitable[None]:
        """Send one answer."""
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

    def end_if_answered(self) -> bool:
        """End it, if nothing but the rest of an answer is to come; tells whether it is so, and is to be cancelled."""
        self.has_ended = self._is_answered
        return self.has_ended

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
        if message is grpc.aio.EOF:
            return False
        try:
            arrived = self._session.receive(message)
        except Rejection as rejection:
            self._reject(rejection)
        else:
            self._share.hold(self._session.held_bytes)
            if arrived is not None:
                await self._decide(arrived)
        await self._write_answers()
        return True

    async def _next(self) -> ProcessingRequest:
        """Return the next message; raises `TimeoutError` when a request that is incomplete gets no further."""
        session = self._session
        if not session.is_collecting:
            return await self._stream.read()
        if session.may_be_waiting:
            return await self._next_or_act()
        if session.held_bytes:
            # One that holds nothing takes one message more in: often it is all, and done with at once.
            await self._wait_for_room()
        async with asyncio.timeout(self._idle_timeout_s):
            return await self._stream.read()

    async def _wait_for_room(self) -> None:
        """Return when this stream may hold more; raises `Rejection` when that takes too long."""
        try:
            async with asyncio.timeout(ROOM_TIMEOUT_S):
                await self._share.wait_for_room()
        except TimeoutError:
            message = "the picker holds as many request bodies as it may; retry later"
            raise Rejection(DropReason.NO_ROOM, message) from None

    async def _next_or_act(self) -> ProcessingRequest:
        """Return the next message; if it does not come soon, decide without it, and then wait as long as it takes."""
        try:
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(_read(self._stream))
                await asyncio.wait({reading}, timeout=PATIENCE_S)
                if not reading.done():
                    arrived = self._session.lose_patience()
                    if arrived is not None:
                        await self._decide(arrived)
                    await self._write_answers()
        except ExceptionGroup as failures:
            # What went wrong is told apart by its type further up.
            raise failures.exceptions[0] from failures
        return reading.result()

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
        for answer in self._session.take_answers():
            await self._stream.write(answer)
        self._share.hold(self._session.held_bytes)
        self._is_answered = self._routed is not None


async def _read(stream: Stream) -> ProcessingRequest:
    return await stream.read()
