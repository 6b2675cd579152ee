"""KV events over real ZMQ sockets, from a publisher that speaks as vLLM does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import zmq.asyncio

from epp.demo.parts import HOST
from epp.demo.process import free_ports
from epp.plugin.testing import make_context
from epp_plugins.kvevents.events import Event, Removed
from epp_plugins.kvevents.stream import Coverage
from epp_plugins.kvevents.subscriber import SLICE, Subscriber
from tests.fakes.kv_publisher import Publisher


@dataclass
class Heard:
    """Notes what it is told."""

    events: list[Event | str] = field(default_factory=list)

    def forget(self) -> None:
        self.events.append("forget")

    def apply(self, event: Event) -> bool:
        self.events.append(event)
        return True

    async def wait_for(self, *events: Event | str) -> None:
        async with asyncio.timeout(10):
            while self.events[-len(events) :] != list(events):
                await asyncio.sleep(0.01)


@asynccontextmanager
async def running(*, replay: bool, topic: str = "kv@") -> AsyncIterator[tuple[Publisher, Heard, Subscriber]]:
    port, replay_port = free_ports(HOST, [0, 0])
    heard = Heard()
    with zmq.asyncio.Context() as sockets:
        publisher = Publisher(sockets, address=f"tcp://{HOST}:{port}", replay_address=f"tcp://{HOST}:{replay_port}")
        publisher.keep(0)
        subscriber = Subscriber(
            sockets,
            address=f"tcp://{HOST}:{port}",
            replay_address=f"tcp://{HOST}:{replay_port}" if replay else None,
            topic=topic,
            observer=heard,
            log=make_context().log,
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                running_tasks = [tasks.create_task(publisher.answer()), tasks.create_task(subscriber.run())]
                async with asyncio.timeout(10):
                    while "forget" not in heard.events:
                        await asyncio.sleep(0.01)
                await asyncio.sleep(0.2)  # until the publisher, too, knows of the subscription
                yield publisher, heard, subscriber
                for task in running_tasks:
                    task.cancel()
        finally:
            publisher.close()


@asynccontextmanager
async def watching(publisher: Publisher) -> AsyncIterator[tuple[Heard, Subscriber]]:
    """Have one more subscriber, which asks for what was before."""
    heard = Heard()
    with zmq.asyncio.Context() as sockets:
        subscriber = Subscriber(
            sockets,
            address=publisher.address,
            replay_address=publisher.replay_address,
            topic="",
            observer=heard,
            log=make_context().log,
        )
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(subscriber.run())
            yield heard, subscriber
            task.cancel()


async def test_what_was_before_is_asked_for_and_what_comes_is_heard() -> None:
    async with running(replay=True) as (publisher, heard, subscriber):
        await heard.wait_for(Removed([0]))
        await publisher.publish(1)
        await heard.wait_for(Removed([0]), Removed([1]))
        assert subscriber.coverage is Coverage.ALL


async def test_lost_messages_are_asked_for() -> None:
    async with running(replay=True) as (publisher, heard, subscriber):
        await heard.wait_for(Removed([0]))
        for number in (1, 2):
            publisher.keep(number)
        await publisher.publish(3)
        await heard.wait_for(*(Removed([number]) for number in range(4)))
        assert subscriber.coverage is Coverage.ALL


async def test_lost_messages_that_nobody_keeps_make_it_begin_anew() -> None:
    async with running(replay=True) as (publisher, heard, subscriber):
        await heard.wait_for(Removed([0]))
        await publisher.publish(5)
        await heard.wait_for("forget", Removed([5]))
        assert subscriber.coverage is Coverage.PART


async def test_engine_without_replay_is_heard_from_then_on() -> None:
    async with running(replay=False) as (publisher, heard, subscriber):
        await publisher.publish(4)
        await heard.wait_for(Removed([4]))
        assert subscriber.coverage is Coverage.PART


async def test_messages_that_make_no_sense_are_passed_over() -> None:
    async with running(replay=False) as (publisher, heard, _):
        await publisher.publish_raw(b"kv@pod@m", b"short", b"x")
        await publisher.publish_raw(b"kv@pod@m", (7).to_bytes(8, "big"), b"\xc1")
        await publisher.publish(8)
        await heard.wait_for(Removed([8]))
        assert heard.events == ["forget", Removed([8])]


async def test_new_process_at_the_same_address_begins_anew() -> None:
    async with running(replay=True) as (publisher, heard, subscriber):
        await heard.wait_for(Removed([0]))
        assert subscriber.coverage is Coverage.ALL
        await publisher.begin_again()
        await heard.wait_for(Removed([0]), "forget")
        publisher.keep(0)
        publisher.keep(1)
        await heard.wait_for("forget", Removed([0]), Removed([1]))
        assert subscriber.coverage is Coverage.ALL


async def test_nothing_is_known_while_there_is_no_connection() -> None:
    async with running(replay=True) as (publisher, heard, subscriber):
        await heard.wait_for(Removed([0]))
        publisher.close()
        await heard.wait_for(Removed([0]), "forget")
        assert subscriber.coverage is Coverage.NOTHING


async def test_engine_under_another_topic_is_not_taken_for_one_that_has_said_nothing() -> None:
    async with running(replay=True, topic="other@") as (_, heard, subscriber):
        await asyncio.sleep(0.1)
        assert heard.events == ["forget"]
        assert subscriber.coverage is Coverage.NOTHING


async def test_others_get_their_turn_while_much_is_sent_again() -> None:
    async with running(replay=False) as (publisher, _, _):
        for number in range(3000):
            publisher.keep(number)
        turns = 0
        async with watching(publisher) as (heard, subscriber):
            async with asyncio.timeout(20):
                while Removed([2999]) not in heard.events[-1:]:
                    await asyncio.sleep(0)
                    turns += 1
            assert turns > 3000 / SLICE
            assert subscriber.coverage is Coverage.ALL
