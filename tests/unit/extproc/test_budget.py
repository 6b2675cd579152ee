"""The bound on what all streams hold together."""

import asyncio

from epp.extproc.budget import BodyBudget, BodyShare


class Held:
    """What was said to be held, in order."""

    def __init__(self) -> None:
        self.history: list[int] = []

    def note(self, count: int) -> None:
        self.history.append(count)


def make_budget(max_bytes: int = 100) -> tuple[BodyBudget, Held]:
    held = Held()
    return BodyBudget(max_bytes, held.note), held


async def is_waiting(task: asyncio.Task[None]) -> bool:
    for _ in range(3):
        await asyncio.sleep(0)
    return not task.done()


async def test_stream_waits_while_others_hold_too_much_and_goes_on_when_they_let_go() -> None:
    budget, held = make_budget()
    first, second = BodyShare(budget), BodyShare(budget)
    first.hold(100)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(second.wait_for_room())
        assert await is_waiting(waiting)
        first.hold(0)
    assert held.history == [100, 0]


async def test_stream_that_holds_the_longest_never_waits() -> None:
    budget, _ = make_budget()
    first, second = BodyShare(budget), BodyShare(budget)
    first.hold(60)
    second.hold(60)
    await first.wait_for_room()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(second.wait_for_room())
        assert await is_waiting(waiting)
        first.hold(0)
    assert budget.held_bytes == 60


async def test_streams_that_wait_for_one_another_get_done_one_after_the_other() -> None:
    """Each holds half of what it needs, and together they hold all that there is."""
    budget, held = make_budget(100)

    async def upload() -> None:
        share = BodyShare(budget)
        for size in (25, 50):
            await share.wait_for_room()
            share.hold(size)
            await asyncio.sleep(0)
        share.hold(0)

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(upload())
    assert budget.held_bytes == 0
    assert max(held.history) <= 100 + 20 * 25


async def test_stream_that_is_cancelled_while_it_waits_leaves_nothing() -> None:
    budget, _ = make_budget()
    first, second, third = BodyShare(budget), BodyShare(budget), BodyShare(budget)
    first.hold(100)
    async with asyncio.TaskGroup() as group:
        cancelled, waiting = group.create_task(second.wait_for_room()), group.create_task(third.wait_for_room())
        assert await is_waiting(waiting)
        cancelled.cancel()
        assert await is_waiting(waiting)
        first.hold(0)
    assert budget._waiting == {}


async def test_new_stream_waits_like_any_other() -> None:
    budget, _ = make_budget()
    BodyShare(budget).hold(100)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(BodyShare(budget).wait_for_room())
        assert await is_waiting(waiting)
        waiting.cancel()
