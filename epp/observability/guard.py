"""The guard around a plugin: wrapped once, when it is assembled.

A plugin is other people's code on the path of every request. Whatever it does - raise, return too few numbers, pick an
endpoint that is no candidate - the request goes on without it, and the failure is logged and counted under its name.
What a plugin returns is checked and copied inside the guard, so nothing odd gets past it. A `Rejection` is no failure
at the points where a plugin may refuse a request: parser, producer,
admitter, filter, profile handler.
"""

import asyncio
import enum
from collections.abc import Awaitable, Callable
from typing import Final, Literal, ParamSpec, TypeVar

from structlog.typing import FilteringBoundLogger

from epp.observability.metrics import Metrics
from epp.plugin import Rejection

T = TypeVar("T")
P = ParamSpec("P")

MAY_REFUSE = frozenset({"parse", "produce", "admit", "filter", "select"})


class Outcome(enum.Enum):
    """What a guarded call gives in place of a result."""

    FAILED = enum.auto()


FAILED: Final = Outcome.FAILED


class PluginFaultError(ValueError):
    """A plugin returned something that its extension point does not allow."""


class Guard:
    """Runs one plugin's calls and contains their failures."""

    def __init__(self, plugin: str, *, metrics: Metrics, log: FilteringBoundLogger) -> None:
        self.plugin = plugin
        self._metrics = metrics
        self._log = log.bind(plugin=plugin)

    def attempt(
        self, point: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T | Literal[Outcome.FAILED]:
        """Return what ``call`` returns, or `FAILED` after noting its failure at the extension point."""
        try:
            return call(*args, **kwargs)
        except Exception as failure:  # noqa: BLE001 - third-party code: contained, counted and named
            self.contain(point, failure)
            return FAILED

    async def attempt_until(self, point: str, deadline_s: float, pending: Awaitable[None]) -> None:
        """Await ``pending``; note its failure, or that it was not done in time."""
        try:
            async with asyncio.timeout(deadline_s):
                await not_cancelled_by_itself(pending)
        except Exception as failure:  # noqa: BLE001 - third-party code: contained, counted and named
            self.contain(point, failure)

    def report(self, point: str, failure: Exception) -> None:
        """Log and count a failure at an extension point."""
        self._metrics.plugin_failed(self.plugin, point)
        self._log.error("plugin_failed", point=point, error=repr(failure), exc_info=failure)

    def contain(self, point: str, failure: Exception) -> None:
        """Note a failure; raise it again where it is a refusal that this point allows."""
        if isinstance(failure, Rejection) and point in MAY_REFUSE:
            raise failure
        self.report(point, failure)


async def not_cancelled_by_itself(pending: Awaitable[T]) -> T:
    """Return what is awaited; raises `PluginFaultError` for a cancellation that nobody has asked for.

    A plugin can await something that others share and cancel; let through, that would end the request's own task.
    """
    try:
        return await pending
    except asyncio.CancelledError as failure:
        if is_cancelled():
            raise
        raise PluginFaultError("was cancelled by something of its own") from failure


def is_cancelled() -> bool:
    """Tell whether someone wants the current task to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
