"""Asyncio code in virtual time: sleeping costs nothing, and durations are exact."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import looptime

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop whose clock jumps to the next timer."""
    with asyncio.Runner(loop_factory=lambda: looptime.new_event_loop(start=0, end=100_000)) as runner:
        return runner.run(main)
