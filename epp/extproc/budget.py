"""A bound on the request bodies that all streams hold together, with back-pressure.

A stream that may bring more waits until there is room: its gateway then waits too, by HTTP/2 flow control. The stream
that has held something for the longest never waits, so that there is always one that gets done and makes room.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable


class BodyBudget:
    """Counts the bytes that streams hold. Over the bound by at most one message for each stream that was reading."""

    def __init__(self, max_bytes: int, on_change: Callable[[int], None]) -> None:
        self._max_bytes = max_bytes
        self._on_change = on_change
        self._held_bytes = 0
        self._holders: OrderedDict[BodyShare, None] = OrderedDict()
        self._waiting: dict[BodyShare, asyncio.Future[None]] = {}

    @property
    def held_bytes(self) -> int:
        """What all streams hold now."""
        return self._held_bytes

    def has_room(self, share: "BodyShare") -> bool:
        """Tell whether a stream may take in more."""
        return self._held_bytes < self._max_bytes or self._longest_holder(share) is share

    async def wait_for_room(self, share: "BodyShare") -> None:
        """Return when a stream may take in more."""
        while not self.has_room(share):
            self._waiting[share] = asyncio.get_running_loop().create_future()
            try:
                await self._waiting[share]
            finally:
                del self._waiting[share]

    def changed(self, share: "BodyShare", bytes_before: int) -> None:
        """Take note that a stream holds more or less than before."""
        self._held_bytes += share.held_bytes - bytes_before
        if share.held_bytes:
            self._holders.setdefault(share)
        else:
            self._holders.pop(share, None)
        self._on_change(self._held_bytes)
        if self._held_bytes < self._max_bytes:
            for waiting in self._waiting:
                self._wake(waiting)
        else:
            self._wake(self._longest_holder(share))

    def _longest_holder(self, default: "BodyShare") -> "BodyShare":
        return next(iter(self._holders), default)

    def _wake(self, share: "BodyShare") -> None:
        waiting = self._waiting.get(share)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)


class BodyShare:
    """What one stream holds."""

    def __init__(self, budget: BodyBudget) -> None:
        self._budget = budget
        self.held_bytes = 0

    @property
    def has_room(self) -> bool:
        """Whether this stream may take in more."""
        return self._budget.has_room(self)

    async def wait_for_room(self) -> None:
        """Return when this stream may take in more."""
        await self._budget.wait_for_room(self)

    def hold(self, count: int) -> None:
        """Say how many bytes this stream holds now."""
        before, self.held_bytes = self.held_bytes, count
        if before != count:
            self._budget.changed(self, before)
