"""A coroutine that is begun, and awaited where it is not done, is what it would have been if it were just awaited."""

import asyncio
import gc
import weakref

import pytest

from epp.extproc.waiting import Begun


async def number(pauses: int) -> int:
    for _ in range(pauses):
        await asyncio.sleep(0)
    return 5


async def fails(pauses: int) -> None:
    await number(pauses)
    raise KeyError


async def stubborn() -> str:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return "went on"
    return "never"


async def test_done_at_once_or_later() -> None:
    at_once, later = Begun(number(0)), Begun(number(2))
    assert (at_once.is_done, at_once.result) == (True, 5)
    assert (later.is_done, await later) == (False, 5)


async def test_what_it_raises_is_raised() -> None:
    with pytest.raises(KeyError):
        Begun(fails(0))
    failing = Begun(fails(1))
    with pytest.raises(KeyError):
        await failing


async def test_timeout_and_cancellation_are_for_the_coroutine() -> None:
    waiting, going_on = Begun(asyncio.Event().wait()), Begun(stubborn())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await waiting

    async def wait() -> str:
        return await going_on

    task = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "went on"


async def test_cancelled_one_leaves_nothing_for_the_garbage_collector() -> None:
    """The variables of a stream that is cancelled are a request's body; a cycle would keep them until it is found."""

    class Body:
        """Something that is seen to go."""

    kept: list[weakref.ref[Body]] = []

    async def hold() -> None:
        body = Body()
        kept.append(weakref.ref(body))
        await Begun(asyncio.Event().wait())

    gc.disable()
    try:
        task = asyncio.ensure_future(hold())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        del task
        assert [one() for one in kept] == [None]
    finally:
        gc.enable()
