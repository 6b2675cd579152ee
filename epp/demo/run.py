"""The demo from start to end."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from epp.demo.counters import prefix_counters
from epp.demo.report import decision_line, instructions, summary
from epp.demo.stack import StackOptions, running_stack
from epp.demo.traffic import Outcome, drive
from epp.serving import stop_signal


async def run_demo(
    options: StackOptions, *, traffic: bool, duration_s: float | None, echo: Callable[[str], None]
) -> int:
    """Run until Ctrl-C, or for a time; returns the number of requests of our own traffic that failed.

    Raises `PartError` when a part does not start, `ConfigurationError` when there is no Envoy.
    """

    def show(line: str) -> None:
        text = decision_line(line)
        if text is not None:
            echo(text)

    stop = stop_signal(signal.SIGHUP)
    outcomes: list[Outcome] = []
    echo("starting model servers, picker and Envoy ...")
    async with running_stack(replace(options, on_picker_line=show)) as stack:
        echo(instructions(stack))
        echo(f"stops after {duration_s:g} s\n" if duration_s is not None else "Ctrl-C stops it\n")
        async with _driving(stack.url if traffic else None, outcomes):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), duration_s)
        if traffic:
            echo(summary(outcomes, (await prefix_counters(stack.model_servers)).hit_ratio))
    echo("stopped")
    return sum(outcome.error is not None for outcome in outcomes)


@contextlib.asynccontextmanager
async def _driving(url: str | None, outcomes: list[Outcome]) -> AsyncIterator[None]:
    """Play clients while the context is open."""
    async with asyncio.TaskGroup() as tasks:
        driving = tasks.create_task(drive(url, outcomes)) if url else None
        yield
        if driving is not None:
            driving.cancel()
