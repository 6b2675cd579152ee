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
REPLAY_TIMEOUT_S = 5.0
MESSAGE_PARTS, REPLAY_PARTS = 3, 4
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
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
        self._has_missed = False

    @property
    def coverage(self) -> Coverage:
        """What is known by the stream now; nothing while there is no connection."""
        return self._stream.coverage if self._is_connected else Coverage.NOTHING

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
                step = self._take(await messages.recv_multipart())
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
        """Ask for messages from a number on, and take in what is sent until the end is."""
        asked: int | None = number
        while asked is not None and self._replay_address is not None:
            with self._socket(zmq.DEALER) as replay:
                replay.connect(self._replay_address)
                await replay.send_multipart([b"", asked.to_bytes(_NUMBER_BYTES, "big")])
                step = self._stream.replay_ended(is_whole=await self._took_all(replay))
            self._act(step)
            asked = step.ask_from

    async def _took_all(self, replay: zmq.asyncio.Socket) -> bool:
        """Take in what is sent again; tells whether its end came in time."""
        try:
            async with asyncio.timeout(REPLAY_TIMEOUT_S):
                while True:
                    parts = await replay.recv_multipart()
                    if len(parts) == REPLAY_PARTS and parts[2] == END_OF_REPLAY:
                        return True
                    self._take(parts[1:], is_again=True)
        except TimeoutError:
            self._log.warning("kv_events_replay_failed", problem=f"no end within {REPLAY_TIMEOUT_S:g} s")
            return False

    def _take(self, parts: Sequence[bytes], *, is_again: bool = False) -> Step | None:
        """Take in a message; one that is none is passed over, and so is what an old connection has left."""
        if not self._is_connected:
            return None
        if len(parts) != MESSAGE_PARTS or len(parts[1]) != _NUMBER_BYTES:
            self._missed(f"a message of {len(parts)} parts, or a number that is none")
            return None
        step = self._stream.received(int.from_bytes(parts[1], "big"), parts[2], is_again=is_again)
        self._act(step)
        return step

    def _act(self, step: Step) -> None:
        if step.forget:
            self._observer.forget()
        for payload in step.apply:
            try:
                events = read_batch(payload)
            except ValueError as error:
                self._missed(str(error))
                continue
            taken = [self._observer.apply(event) for event in events]
            if not all(taken):
                self._missed("blocks after one that is not known, or more than the index may hold")

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
