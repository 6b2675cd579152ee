"""Listens to every endpoint's KV events, and knows how much of its cache they tell."""

import asyncio
import re
from dataclasses import dataclass

import zmq
import zmq.asyncio
from structlog.typing import FilteringBoundLogger

from epp.plugin import Endpoint
from epp_plugins.kvevents.events import Event
from epp_plugins.kvevents.exact import ExactIndex
from epp_plugins.kvevents.stream import Coverage
from epp_plugins.kvevents.subscriber import Subscriber

MAX_SOCKETS = 65_536
"""ZMQ's own default is enough for 340 endpoints."""
RETRY_S = 5.0
"""Pause after a socket that could not be had; the other endpoints are listened to meanwhile."""
_RANK = re.compile(r"-rank-(\d+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSockets:
    """Where engines publish. A data-parallel rank adds its number to the ports; rank 0 stands for engines without."""

    port: int
    replay_port: int | None
    topic: str
    """What topics begin with; empty: all of them."""

    def addresses(self, endpoint: Endpoint) -> tuple[str, str | None]:
        """Return an endpoint's address for events, and the one where lost ones can be asked for."""
        rank = rank_of(endpoint)
        host = f"[{endpoint.address}]" if ":" in endpoint.address else endpoint.address
        replay = None if self.replay_port is None else f"tcp://{host}:{self.replay_port + rank}"
        return f"tcp://{host}:{self.port + rank}", replay


def rank_of(endpoint: Endpoint) -> int:
    """Return an endpoint's data-parallel rank, from a name like ``vllm-7d9-rank-1``; 0 for any other name."""
    found = _RANK.search(endpoint.name)
    return int(found[1]) if found else 0


@dataclass(frozen=True, slots=True)
class _IndexObserver:
    """Tells the index what one endpoint says."""

    index: ExactIndex[Endpoint]
    endpoint: Endpoint

    def forget(self) -> None:
        self.index.forget(self.endpoint)

    def apply(self, event: Event) -> bool:
        return self.index.apply(self.endpoint, event)


class Subscriptions:
    """One subscriber for each endpoint, as long as `run` does."""

    def __init__(self, index: ExactIndex[Endpoint], sockets: EventSockets, log: FilteringBoundLogger) -> None:
        self._index = index
        self._sockets = sockets
        self._log = log
        self._subscribers: dict[Endpoint, Subscriber] = {}
        self._tasks: dict[Endpoint, asyncio.Task[None]] = {}
        self._wanted: dict[Endpoint, None] = {}
        self._joined: asyncio.Queue[Endpoint] = asyncio.Queue()

    def coverage(self, endpoint: Endpoint) -> Coverage:
        """Return how much of an endpoint's cache is known by its events."""
        subscriber = self._subscribers.get(endpoint)
        return subscriber.coverage if subscriber else Coverage.NOTHING

    def follow(self, endpoint: Endpoint) -> None:
        """Listen to an endpoint from now on."""
        if endpoint not in self._wanted:
            self._wanted[endpoint] = None
            self._joined.put_nowait(endpoint)

    def leave(self, endpoint: Endpoint) -> None:
        """Listen to it no more."""
        self._wanted.pop(endpoint, None)
        self._subscribers.pop(endpoint, None)
        task = self._tasks.pop(endpoint, None)
        if task is not None:
            task.cancel()
        self._index.forget(endpoint)

    async def run(self) -> None:
        """Listen until cancelled."""
        self._joined = asyncio.Queue()
        for endpoint in self._wanted:
            self._joined.put_nowait(endpoint)
        with zmq.asyncio.Context() as sockets:
            sockets.set(zmq.MAX_SOCKETS, MAX_SOCKETS)
            try:
                async with asyncio.TaskGroup() as group:
                    while True:
                        endpoint = await self._joined.get()
                        if endpoint in self._wanted and endpoint not in self._tasks:
                            self._tasks[endpoint] = group.create_task(self._listen(endpoint, sockets))
            finally:
                self._tasks.clear()
                self._subscribers.clear()

    async def _listen(self, endpoint: Endpoint, sockets: zmq.asyncio.Context) -> None:
        address, replay_address = self._sockets.addresses(endpoint)
        subscriber = Subscriber(
            sockets,
            address=address,
            replay_address=replay_address,
            topic=self._sockets.topic,
            observer=_IndexObserver(self._index, endpoint),
            log=self._log.bind(endpoint=endpoint.key),
        )
        self._subscribers[endpoint] = subscriber
        while True:
            try:
                await subscriber.run()
            except zmq.ZMQError as error:
                self._log.warning("kv_events_socket_failed", endpoint=endpoint.key, address=address, problem=str(error))
            await asyncio.sleep(RETRY_S)
