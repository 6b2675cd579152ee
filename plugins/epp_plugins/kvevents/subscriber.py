"""Listens to one engine's KV events over ZMQ."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Protocol

import zmq
import zmq.asyncio
from structlog.typing import FilteringBoundLogger

from epp_plugins.kvevents.events import Event, read_batch
from epp_plugins.kvevents.stream import Step, Stream

END_OF_REPLAY = b"\xff" * 8
"""The number that ends what an engine sends again, as vLLM has it."""
REPLAY_TIMEOUT_S = 5.0
MESSAGE_PARTS, REPLAY_PARTS = 3, 4
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
_NUMBER_BYTES = 8


class Listener(Protocol):
    """Who is told what an engine says."""

    def forget(self) -> None:
        """Forget what it has said so far."""
        ...

    def apply(self, event: Event) -> None:
        """Take note of an event."""
        ...


class Subscriber:
    """Follows one stream until cancelled. ZMQ connects again by itself when an engine was away."""

    def __init__(
        self,
        sockets: zmq.asyncio.Context,
        *,
        address: str,
        replay_address: str | None,
        topic: str,
        listener: Listener,
        log: FilteringBoundLogger,
    ) -> None:
        self._sockets = sockets
        self._address = address
        self._replay_address = replay_address
        self._topic = topic
        self._listener = listener
        self._log = log.bind(address=address)
        self.stream = Stream(can_replay=replay_address is not None)

    async def run(self) -> None:
        """Listen."""
        with self._socket(zmq.SUB) as messages, contextlib.ExitStack() as stack:
            messages.setsockopt(zmq.SUBSCRIBE, self._topic.encode())
            messages.connect(self._address)
            replay = None
            if self._replay_address is not None:
                replay = stack.enter_context(self._socket(zmq.DEALER))
                replay.connect(self._replay_address)
                await self._replay(replay, 0)
            while True:
                parts = await messages.recv_multipart()
                step = self._take(parts)
                if step is not None and step.ask_from is not None and replay is not None:
                    await self._replay(replay, step.ask_from)

    async def _replay(self, replay: zmq.asyncio.Socket, number: int) -> None:
        """Ask for messages from a number on, and take in what is sent until the end is."""
        await replay.send_multipart([b"", number.to_bytes(_NUMBER_BYTES, "big")])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REPLAY_TIMEOUT_S):
                while True:
                    parts = await replay.recv_multipart()
                    if len(parts) == REPLAY_PARTS and parts[2] == END_OF_REPLAY:
                        break
                    self._take(parts[1:], is_again=True)
        step = self.stream.replay_ended()
        self._act(step)
        if step.ask_from is not None:
            await self._replay(replay, step.ask_from)

    def _take(self, parts: Sequence[bytes], *, is_again: bool = False) -> Step | None:
        """Take in a message; one that is none is logged and passed over."""
        if len(parts) != MESSAGE_PARTS or len(parts[1]) != _NUMBER_BYTES:
            self._log.warning("kv_events_message", problem=f"{len(parts)} parts")
            return None
        step = self.stream.received(int.from_bytes(parts[1], "big"), parts[2], is_again=is_again)
        self._act(step)
        return step

    def _act(self, step: Step) -> None:
        if step.forget:
            self._listener.forget()
        for payload in step.apply:
            try:
                events = read_batch(payload)
            except ValueError as error:
                self._log.warning("kv_events_message", problem=str(error))
                continue
            for event in events:
                self._listener.apply(event)

    def _socket(self, kind: int) -> zmq.asyncio.Socket:
        socket = self._sockets.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        return socket
