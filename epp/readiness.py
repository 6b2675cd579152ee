"""Whether requests should come here, and what is in the way if not."""

import asyncio
import enum
from collections.abc import Awaitable, Callable


class Need(enum.StrEnum):
    """What it takes to be ready."""

    SERVING = "the ext_proc port is open, and not draining"
    POOL = "the pool is known"
    LEADERSHIP = "this picker is the leader"


class Readiness:
    """Ready when every need is met."""

    def __init__(self, needs: set[Need]) -> None:
        self._unmet = set(needs)
        self._news = asyncio.Event()
        self._news.set()

    @property
    def unmet(self) -> list[Need]:
        """What is in the way."""
        return [need for need in Need if need in self._unmet]

    def is_met_but(self, one: Need) -> bool:
        """Tell whether nothing else is in the way."""
        return self._unmet <= {one}

    def note(self, need: Need, *, is_met: bool) -> None:
        """Take note of one."""
        if is_met:
            self._unmet.discard(need)
        else:
            self._unmet.add(need)
        self._news.set()

    async def tell(self, whom: Callable[[bool], Awaitable[None]]) -> None:
        """Tell somebody whether it is ready, now and after every change, until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            await whom(not self._unmet)
