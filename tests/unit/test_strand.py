"""A strand goes on where its news come, and is a task where it has to be one."""

import asyncio
import contextlib
import gc
import weakref
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


@pytest.mark.parametrize("is_task", [False, True], ids=["wants a task", "waits for something else"])
async def test_cancellation_before_the_first_turn_of_its_task_is_raised_where_it_waits(*, is_task: bool) -> None:
    async def stubborn(seen: Seen) -> None:
        try:
            await (asyncio.sleep(5) if is_task else in_task())
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            seen.steps.append("cancelled")
            raise

    seen = Seen()
    strand = seen.strand(stubborn)
    go_on_in_the_next_turn(strand)
    asyncio.get_running_loop().call_soon(strand.cancel)
    for _ in range(5):
        await asyncio.sleep(0)
    assert (seen.steps, seen.ends) == (["cancelled"], 1)


async def test_two_cancellations_in_one_turn_are_one() -> None:
    async def goes_on(seen: Seen) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await News()
        await News()
        seen.steps.append("went on")

    seen = Seen()
    strand = seen.strand(goes_on)
    strand.go_on()
    strand.cancel()
    strand.cancel()
    await asyncio.sleep(0)
    strand.go_on()
    assert (seen.steps, seen.ends) == (["went on"], 1)


class PanicError(BaseException):
    """As extensions in Rust raise it."""


@pytest.mark.parametrize("error", [KeyError("a bug"), PanicError("a bug")], ids=repr)
@pytest.mark.parametrize("is_task", [False, True])
async def test_one_that_fails_is_told_of_and_harms_nobody(error: BaseException, *, is_task: bool) -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

    async def fails(seen: Seen) -> None:
        if is_task:
            await asyncio.sleep(0)
        seen.steps.append("begun")
        raise error

    seen = Seen()
    seen.strand(fails).go_on()
    for _ in range(3 if is_task else 0):
        await asyncio.sleep(0)
    assert (seen.steps, seen.ends) == (["begun"], 1)
    assert [one["exception"] for one in told] == [error]


@pytest.mark.parametrize("is_task", [False, True], ids=["waits for news", "is a task"])
@pytest.mark.parametrize("fails", [False, True], ids=["is cancelled", "fails"])
async def test_ended_one_leaves_nothing_for_the_garbage_collector(*, is_task: bool, fails: bool) -> None:
    """The variables of a stream are a request's body; a cycle would keep them until it is found."""

    class Body:
        """Something that is seen to go."""

        strand: Strand

    kept: list[weakref.ref[Body]] = []

    async def holds(body: Body) -> None:
        await (asyncio.sleep(0.01) if is_task else News())
        if fails:
            raise KeyError(body)
        await News()

    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    gc.disable()
    try:
        body = Body()
        kept.append(weakref.ref(body))
        strand = body.strand = Strand(holds(body), lambda _: None)
        del body
        strand.go_on()
        await asyncio.sleep(0)
        if fails and is_task:
            await asyncio.sleep(0.05)
        elif fails:
            strand.go_on()
        else:
            strand.cancel()
        del strand
        for _ in range(5):
            await asyncio.sleep(0)
        assert [one() for one in kept] == [None]
    finally:
        gc.enable()
