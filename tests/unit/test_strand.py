"""A strand goes on where its news come, and is a task where it has to be one."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from epp.strand import Pause, Strand, in_task


class News:
    """What one strand waits for."""

    def __await__(self) -> Any:
        yield Pause.NEWS


class Seen:
    """What a strand did."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.ends = 0

    def strand(self, run: Callable[["Seen"], Coroutine[Any, Any, None]]) -> Strand:
        return Strand(run(self), self.ended)

    def ended(self, _strand: Strand) -> None:
        self.ends += 1


async def waits_twice(seen: Seen) -> None:
    seen.steps.append("begun")
    await News()
    seen.steps.append("once")
    await News()
    seen.steps.append("twice")


def go_on_in_the_next_turn(strand: Strand) -> None:
    """Where callbacks run; a test is a task."""
    asyncio.get_running_loop().call_soon(strand.go_on)


async def test_each_piece_of_news_leads_it_on_at_once_and_the_last_one_ends_it() -> None:
    seen = Seen()
    strand = seen.strand(waits_twice)
    for steps in (["begun"], ["begun", "once"], ["begun", "once", "twice"]):
        assert seen.ends == 0
        strand.go_on()
        assert seen.steps == steps
    assert seen.ends == 1
    strand.go_on()
    strand.cancel()
    await asyncio.sleep(0)
    assert (seen.steps, seen.ends) == (["begun", "once", "twice"], 1)


async def test_news_that_come_while_it_runs_do_not_begin_it_again() -> None:
    strands: list[Strand] = []

    async def brings_its_own_news(seen: Seen) -> None:
        strands[0].go_on()
        seen.steps.append("begun")
        await News()

    seen = Seen()
    strands.append(seen.strand(brings_its_own_news))
    strands[0].go_on()
    assert (seen.steps, seen.ends) == (["begun"], 0)


async def test_what_waits_for_anything_else_goes_on_as_a_task() -> None:
    async def sleeps(seen: Seen) -> None:
        await News()
        await asyncio.sleep(0.01)
        seen.steps.append("slept")

    seen = Seen()
    strand = seen.strand(sleeps)
    strand.go_on()
    strand.go_on()
    for _ in range(3):
        strand.go_on()
        await asyncio.sleep(0)
    assert seen.steps == []
    await asyncio.sleep(0.05)
    assert (seen.steps, seen.ends) == (["slept"], 1)


async def test_what_needs_a_task_has_one() -> None:
    async def is_timed(seen: Seen) -> None:
        assert asyncio.current_task() is None
        await in_task()
        task = asyncio.current_task()
        await in_task()
        assert asyncio.current_task() is task
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        seen.steps.append("timed out")

    seen = Seen()
    go_on_in_the_next_turn(seen.strand(is_timed))
    await asyncio.sleep(0.05)
    assert (seen.steps, seen.ends) == (["timed out"], 1)


@pytest.mark.parametrize("is_task", [False, True], ids=["waits for news", "is a task"])
async def test_cancellation_is_raised_where_it_waits(*, is_task: bool) -> None:
    async def stubborn(seen: Seen) -> None:
        try:
            await (asyncio.Event().wait() if is_task else News())
        except asyncio.CancelledError:
            seen.steps.append("cancelled")
            raise

    seen = Seen()
    strand = seen.strand(stubborn)
    strand.go_on()
    await asyncio.sleep(0)
    strand.cancel()
    for _ in range(3):
        await asyncio.sleep(0)
    assert (seen.steps, seen.ends) == (["cancelled"], 1)


async def test_cancelled_one_may_still_have_something_to_wait_for() -> None:
    async def tidies_up(seen: Seen) -> None:
        try:
            await News()
        finally:
            await asyncio.sleep(0)
            seen.steps.append("tidied up")

    seen = Seen()
    strand = seen.strand(tidies_up)
    strand.go_on()
    strand.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert (seen.steps, seen.ends) == (["tidied up"], 1)


async def test_one_that_fails_is_told_of_and_harms_nobody() -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

    async def fails(seen: Seen) -> None:
        seen.steps.append("begun")
        raise KeyError("a bug")

    seen = Seen()
    seen.strand(fails).go_on()
    assert (seen.steps, seen.ends) == (["begun"], 1)
    assert [repr(one["exception"]) for one in told] == ["KeyError('a bug')"]
