"""Listens to one engine's KV events over ZMQ."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import zmq
import zmq.asyncio
from structlog.typing import FilteringBoundLogger
from zmq.utils.monitor import recv_monitor_message

from epp_plugins.kvevents.events import Event, read_batch
from epp_plugins.kvevents.stream import MAX_WAITING, Coverage, Step, Stream

END_OF_REPLAY = b"\xff" * 8
"""The number that ends what an engine sends again, as vLLM has it."""
REPLAY_PAUSE_S = 5.0
"""Longest pause between two messages that are sent again."""
MOST_REPLAYED = 20_000
"""Messages that are taken in for one question: twice what vLLM keeps."""
MOST_QUESTIONS = 100
SLICE = 16
"""Messages after which others get their turn."""
MESSAGE_PARTS, REPLAY_PARTS = 3, 4
MAX_MESSAGE_BYTES = 8 * 1024 * 1024
RECONNECT_MS, MAX_RECONNECT_MS = 100, 5000
HEARTBEAT_MS, SILENCE_MS = 5000, 15_000
"""How often a connection is tried, and after how long without an answer it counts as gone: a node that lost its power
does not say so."""
_NUMBER_BYTES = 8


class EventObserver(Protocol):
    """Is told what an engine says."""

    def forget(self) -> None:
        """Forget what it has said so far."""
        ...

    def apply(self, event: Event) -> bool:
        """Take note of an event; tells whether all of it could be."""
        ...


class Subscriber:
    """Follows one stream until cancelled. ZMQ connects again by itself when an engine was away.

    A new connection may lead to another process, so it begins anew: what was heard over the old one is forgotten.
    """

    def __init__(
        self,
        sockets: zmq.asyncio.Context,
        *,
        address: str,
        replay_address: str | None,
        topic: str,
        observer: EventObserver,
        log: FilteringBoundLogger,
    ) -> None:
        self._sockets = sockets
        self._address = address
        self._replay_address = replay_address
        self._topic = topic
        self._observer = observer
        self._log = log.bind(address=address)
        self._stream = self._new_stream()
        self._is_connected = False
        self._is_behind = False
        self._has_missed = False

    @property
    def coverage(self) -> Coverage:
        """What is known by the stream now; nothing while there is no connection, a part while much is taken in."""
        if not self._is_connected:
            return Coverage.NOTHING
        return Coverage.PART if self._is_behind else self._stream.coverage

    async def run(self) -> None:
        """Listen."""
        with self._socket(zmq.SUB) as messages:
            messages.setsockopt(zmq.SUBSCRIBE, self._topic.encode())
            changes = messages.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
            try:
                messages.connect(self._address)
                await self._listen(messages, changes)
            finally:
                self._is_connected = False
                messages.disable_monitor()
                changes.close()

    async def _listen(self, messages: zmq.asyncio.Socket, changes: zmq.asyncio.Socket) -> None:
        poller = zmq.asyncio.Poller()
        poller.register(changes, zmq.POLLIN)
        poller.register(messages, zmq.POLLIN)
        while True:
            ready = dict(await poller.poll())
            if changes in ready:
                change = await recv_monitor_message(changes)
                await self._begin_anew(is_connected=change["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED)
            elif messages in ready:
                step = await self._take(await messages.recv_multipart())
                if step is not None and step.ask_from is not None:
                    await self._replay(step.ask_from)

    async def _begin_anew(self, *, is_connected: bool) -> None:
        self._is_connected = is_connected
        self._stream = self._new_stream()
        self._has_missed = False
        self._observer.forget()
        self._log.info("kv_events_connected" if is_connected else "kv_events_disconnected")
        if is_connected and self._replay_address is not None:
            await self._replay(0)

    async def _replay(self, number: int) -> None:
        """Ask for messages from a number on, and take in what is sent, until nothing more can be had."""
        asked: int | None = number
        for _ in range(MOST_QUESTIONS):
            if asked is None or self._replay_address is None:
                return
            with self._socket(zmq.DEALER) as replay:
                replay.connect(self._replay_address)
                await replay.send_multipart([b"", asked.to_bytes(_NUMBER_BYTES, "big")])
                self._stream.asked(asked)
                step = self._stream.replay_ended(is_whole=await self._took_all(replay))
            await self._act(step)
            asked = step.ask_from

    async def _took_all(self, replay: zmq.asyncio.Socket) -> bool:
        """Take in what is sent again; tells whether it was all that the engine keeps."""
        is_whole = True
        for _ in range(MOST_REPLAYED):
            # What is there already is had without a wait, so nobody else would get a turn.
            await asyncio.sleep(0)
            try:
                async with asyncio.timeout(REPLAY_PAUSE_S):
                    parts = await replay.recv_multipart()
            except TimeoutError:
                self._log.warning("kv_events_replay_failed", problem=f"nothing came for {REPLAY_PAUSE_S:g} s")
                return False
            if len(parts) == REPLAY_PARTS and parts[2] == END_OF_REPLAY:
                return is_whole
            if len(parts) == REPLAY_PARTS and not parts[1].startswith(self._topic.encode()):
                self._missed(f"its topic is {parts[1]!r}, which does not begin with the topicFilter")
                is_whole = False
                continue
            await self._take(parts[1:], is_again=True)
        return False

    async def _take(self, parts: Sequence[bytes], *, is_again: bool = False) -> Step | None:
        """Take in a message; one that is none is passed over, and so is what an old connection has left."""
        if not self._is_connected:
            return None
        if len(parts) != MESSAGE_PARTS or len(parts[1]) != _NUMBER_BYTES:
            self._missed(f"a message of {len(parts)} parts, or a number that is none")
            return None
        step = self._stream.received(int.from_bytes(parts[1], "big"), parts[2], is_again=is_again)
        await self._act(step)
        return step

    async def _act(self, step: Step) -> None:
        if step.forget:
            self._observer.forget()
        self._is_behind = len(step.apply) > SLICE
        try:
            for number, payload in enumerate(step.apply, start=1):
                self._apply(payload)
                if not number % SLICE:
                    await asyncio.sleep(0)
        finally:
            self._is_behind = False

    def _apply(self, payload: bytes) -> None:
        try:
            events, problems = read_batch(payload)
        except ValueError as error:
            events, problems = (), [str(error)]
        # Each is applied, also after one that could not be.
        taken = [self._observer.apply(event) for event in events]
        if not all(taken):
            problems = [
                *problems,
                "blocks after an unknown one, of another size, or more than the index may hold",
            ]
        if problems:
            self._missed(problems[0])

    def _missed(self, problem: str) -> None:
        """Go on without a message, or a part of it; says so once a connection."""
        if not self._has_missed:
            self._has_missed = True
            self._log.warning("kv_events_missed", problem=problem)
        self._stream.missed()

    def _new_stream(self) -> Stream:
        return Stream(can_replay=self._replay_address is not None)

    def _socket(self, kind: int) -> zmq.asyncio.Socket:
        socket = self._sockets.socket(kind)
        for option, value in _OPTIONS.items():
            socket.setsockopt(option, value)
        return socket


_OPTIONS = {
    zmq.LINGER: 0,
    zmq.IPV6: 1,
    zmq.MAXMSGSIZE: MAX_MESSAGE_BYTES,
    zmq.RCVHWM: MAX_WAITING,
    zmq.RECONNECT_IVL: RECONNECT_MS,
    zmq.RECONNECT_IVL_MAX: MAX_RECONNECT_MS,
    zmq.HEARTBEAT_IVL: HEARTBEAT_MS,
    zmq.HEARTBEAT_TIMEOUT: SILENCE_MS,
}
