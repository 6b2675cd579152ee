"""Coroutines that go on in the very call that brings what they wait for, and become tasks only where they have to.

A task costs a future, a handle and a turn of the event loop for everything that it waits for. Most streams wait for
nothing but their next message, and whoever brings that can lead them on.
"""

import asyncio
import enum
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

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

    __slots__ = ("_coroutine", "_is_cancelled", "_loop", "_may_go_on", "_on_end", "_task", "is_direct")

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
        self._is_cancelled = False
        """It is, in the next turn of the loop."""

    def go_on(self) -> None:
        """Let it run until it waits again, if it waits for news."""
        if self._may_go_on:
            self._run(None)

    def cancel(self) -> None:
        """Raise `asyncio.CancelledError` where it waits, soon."""
        if self._task is not None:
            self._task.cancel()
        elif not self._is_cancelled:
            self._is_cancelled = True
            self._loop.call_soon(self._cancel)

    def _cancel(self) -> None:
        self._is_cancelled = False
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
        except (KeyboardInterrupt, SystemExit):
            self._on_end(self)
            raise
        except BaseException as error:  # noqa: BLE001 - a panic of Rust too; told as an event loop tells of a task's
            self._on_end(self)
            self._tell(error)
        else:
            if pending is Pause.NEWS:
                self._may_go_on = True
            else:
                self._task = self._loop.create_task(Rest(self._coroutine, pending))
                self._task.add_done_callback(self._task_has_ended)
        finally:
            self.is_direct = False
            thrown = None  # its traceback has this frame

    def _task_has_ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        self._on_end(self)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._tell(error)

    def _tell(self, error: BaseException) -> None:
        self._loop.call_exception_handler({"message": "a strand has failed", "exception": error})


class Strands:
    """Those that were begun and have not ended."""

    def __init__(self) -> None:
        self._running: set[Strand] = set()
        self._idle: asyncio.Future[None] | None = None
        """Done when none is left, where somebody waits for it."""

    def begin(self, coroutine: Coroutine[Any, Any, None]) -> Strand:
        """Return a coroutine's strand, which is yet to be led on."""
        strand = Strand(coroutine, self._has_ended)
        self._running.add(strand)
        return strand

    def cancel(self) -> None:
        """Raise `asyncio.CancelledError` where each of them waits, soon."""
        for strand in list(self._running):
            strand.cancel()

    async def have_ended(self) -> None:
        """Return when none is left."""
        while self._running:
            self._idle = self._idle or asyncio.get_running_loop().create_future()
            await asyncio.wait({self._idle})

    def _has_ended(self, strand: Strand) -> None:
        self._running.discard(strand)
        if not self._running and self._idle is not None:
            self._idle.set_result(None)
            self._idle = None


class Rest(Generator[Any, Any, T], Coroutine[Any, Any, T]):
    """What is left of a coroutine that has yielded something; what is thrown before it has gone on is thrown there."""

    __slots__ = ("_coroutine", "_has_begun", "_pending")

    def __init__(self, coroutine: Coroutine[Any, Any, T], pending: object) -> None:
        self._coroutine = coroutine
        self._pending = None if isinstance(pending, Pause) else pending
        self._has_begun = False

    def send(self, value: Any) -> Any:  # noqa: ANN401 - whatever the two agree on
        """Go on; first with what was yielded already."""
        if self._has_begun:
            return self._coroutine.send(value)
        self._has_begun = True
        return self._pending

    def throw(self, *thrown: Any) -> Any:  # noqa: ANN401 - an exception, or as before Python 3.12 its parts
        """Raise an exception where the coroutine waits, such as a cancellation."""
        self._has_begun = True
        try:
            return self._coroutine.throw(*thrown)
        finally:
            thrown = ()  # its traceback has this frame

    def close(self) -> None:
        """End the coroutine."""
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, T]:
        """Return the coroutine's result."""
        return self


@types.coroutine
def in_task() -> Generator[Pause, None, None]:
    """Go on as a task."""
    if asyncio.current_task() is None:
        yield Pause.TASK
