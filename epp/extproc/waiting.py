"""Waits for a gateway's next message: without a timer where it is there, and not for ever where it is not."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

from epp.strand import Rest

T = TypeVar("T")

PATIENCE_S = 0.15
"""How long a gateway may be silent after a request's head before it is taken to wait for our answer.

Shorter than the 200 ms that Envoy waits for one by default.
"""


class Begun(Generic[T]):
    """A coroutine that has been begun; to be awaited where it is not done.

    Most messages are there when they are read, and a timer around each read is dearer than the read.
    """

    __slots__ = ("_coroutine", "_pending", "is_done", "result")

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        """Run it until it has to wait; raises what it raises."""
        self._coroutine = coroutine
        self._pending: object = None
        self.is_done = False
        try:
            self._pending = coroutine.send(None)
        except StopIteration as end:
            self.is_done = True
            self.result: T = end.value

    def __await__(self) -> Generator[Any, Any, T]:
        """Return its result."""
        return Rest(self._coroutine, self._pending)


class Impatience:
    """Does something if a wait takes too long, beside it; a timer alone costs a tenth of a task for each wait.

    What goes wrong in it ends the wait, and is raised there.
    """

    def __init__(self, act: Callable[[], Awaitable[None]]) -> None:
        self._act = act
        self._acting: asyncio.Task[None] | None = None
        self._fault: Exception | None = None
        self._is_waiting = True
        self._has_cancelled = False

    async def __aenter__(self) -> None:
        """Begin to wait."""
        self._waiting = asyncio.current_task()
        self._timer = asyncio.get_running_loop().call_later(PATIENCE_S, self._begin)

    async def __aexit__(self, kind: type[BaseException] | None, _error: object, _trace: object) -> None:
        """End; what is being done is done to its end, unless the wait was cancelled."""
        self._is_waiting = False
        self._timer.cancel()
        if self._acting is None:
            return
        if kind is asyncio.CancelledError and not self._has_cancelled:
            self._acting.cancel()
        await asyncio.wait({self._acting})
        if self._fault is not None:
            if self._has_cancelled and self._waiting is not None:
                self._waiting.uncancel()
            raise self._fault

    def _begin(self) -> None:
        self._acting = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            await self._act()
        except Exception as fault:  # noqa: BLE001 - raised where it is waited
            self._fault = fault
            if self._is_waiting and self._waiting is not None:
                self._has_cancelled = self._waiting.cancel()
