"""Coroutines that go on in the very call that brings what they wait for, and become tasks only where they have to.

A task costs a future, a handle and a turn of the event loop for everything that it waits for. Most streams wait for
nothing but their next message, and whoever brings that can lead them on.
"""

import asyncio
import enum
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Pause(enum.Enum):
    """What a strand's coroutine yields; anything else is what a task can wait for."""

    NEWS = enum.auto()
    """It waits for whoever calls `Strand.go_on`."""
    TASK = enum.auto()
    """It wants to go on as a task."""


class Strand:
    """A coroutine that is begun, and led on, by `go_on`.

    It runs outside of any task, so `go_on` is for callbacks of the event loop, not for tasks. What needs a task, such
    as a timeout, a group of tasks, or code of others that may, comes after `in_task`. What brings news waits for them
    by yielding `Pause.NEWS` while the strand `is_direct`, and as tasks do where it is not.
    """

    __slots__ = ("_coroutine", "_loop", "_may_go_on", "_on_end", "_task", "is_direct")

    def __init__(self, coroutine: Coroutine[Any, Any, None], on_end: "Callable[[Strand], None]") -> None:
        """Take what is run, and who is told when it has ended."""
        self._coroutine = coroutine
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._may_go_on = True
        """It is not running, has not ended, and is no task."""
        self.is_direct = False
        """It is running, and is no task."""

    def go_on(self) -> None:
        """Let it run until it waits again, if it waits for news."""
        if self._may_go_on:
            self._run(None)

    def cancel(self) -> None:
        """Raise `asyncio.CancelledError` where it waits, soon."""
        if self._task is not None:
            self._task.cancel()
        else:
            self._loop.call_soon(self._cancel)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
        elif self._may_go_on:
            self._run(asyncio.CancelledError())

    def _run(self, thrown: BaseException | None) -> None:
        self._may_go_on, self.is_direct = False, True
        try:
            pending = self._coroutine.send(None) if thrown is None else self._coroutine.throw(thrown)
        except (StopIteration, asyncio.CancelledError):
            self._on_end(self)
        except Exception as error:  # noqa: BLE001 - told as an event loop tells of a task that nobody waits for
            self._on_end(self)
            self._loop.call_exception_handler({"message": "a strand has failed", "exception": error})
        else:
            if pending is Pause.NEWS:
                self._may_go_on = True
            else:
                self._task = self._loop.create_task(_as_task(Rest(self._coroutine, pending)))
                self._task.add_done_callback(lambda _: self._on_end(self))
        finally:
            self.is_direct = False


class Rest(Generic[T]):
    """What is left of a coroutine that has yielded something."""

    __slots__ = ("_coroutine", "_pending")

    def __init__(self, coroutine: Coroutine[Any, Any, T], pending: object) -> None:
        self._coroutine = coroutine
        self._pending = None if isinstance(pending, Pause) else pending

    def __await__(self) -> Generator[Any, Any, T]:
        """Return the coroutine's result."""
        coroutine, pending = self._coroutine, self._pending
        try:
            while True:
                try:
                    sent = yield pending
                except BaseException as thrown:  # noqa: BLE001 - such as a cancellation: it is for the coroutine
                    pending = coroutine.throw(thrown)
                else:
                    pending = coroutine.send(sent)
        except StopIteration as end:
            result: T = end.value
            return result


@types.coroutine
def in_task() -> Generator[Pause, None, None]:
    """Go on as a task."""
    if asyncio.current_task() is None:
        yield Pause.TASK


async def _as_task(rest: Rest[None]) -> None:
    await rest
