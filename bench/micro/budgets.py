"""Keeps the hot path as short as it is: ``make budgets``.

Counts what a step takes in instructions and calls, which is the same on every machine, and fails when that is a fifth
more than when it was written down (`bench/micro/budgets.json`). ``make budgets BUDGETS=--write`` writes it down anew.
"""

import asyncio
import json
import random
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from counting import Count, counted
from request import Call, make_handler, messages_of
from scheduling import make_pool, make_scheduler, matched_request
from wire import make_request

from load import echo

FILE = Path(__file__).with_name("budgets.json")
MOST = 1.2
"""How many times its budget a step may take."""
WARM_UP, COUNTED = 20, 20
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
"""Each Python has instructions of its own."""

Step = Callable[[], Awaitable[object]]


def request(body_bytes: int, chunks: int = 0) -> Step:
    """Return a step that serves a request with a body of this size, and an answer in pieces."""
    handler, messages = make_handler(10), messages_of(body_bytes, chunks=chunks)
    return lambda: handler(Call(messages))


def decision(endpoints: int) -> Step:
    """Return a step that decides between endpoints."""
    rng = random.Random(0)  # noqa: S311 - loads, not secrets
    pool, scheduler = make_pool(endpoints, rng), make_scheduler(rng)
    wanted = matched_request(pool, rng)

    async def decide() -> object:
        return scheduler.schedule(wanted, pool)

    return decide


STEPS: Mapping[str, Callable[[], Step]] = {
    "request, 1 KB": lambda: request(1_000),
    "request, 40 KB": lambda: request(40_000),
    "request, 1 KB, on hyper": lambda: make_request(1_000, make_handler(10)),
    "echo, 1 KB, on hyper": lambda: make_request(1_000, echo.make_handler("10.0.0.1:8000")),
    "request, 1 KB, answer in 100 pieces": lambda: request(1_000, chunks=100),
    "decision, 10 endpoints": lambda: decision(10),
    "decision, 100 endpoints": lambda: decision(100),
}


async def count_of(step: Step) -> Count:
    """Return what a step takes, the mean of some, after it was done a few times."""
    for _ in range(WARM_UP):
        await step()
    with counted() as total:
        for _ in range(COUNTED):
            await step()
    return Count(total.instructions // COUNTED, total.calls // COUNTED)


def excess(count: Count, budget: Mapping[str, int]) -> float:
    """Return how many times its budget a step takes, in what it takes more of."""
    return max(count.instructions / budget["instructions"], count.calls / budget["calls"])


async def main(*, writes: bool) -> int:
    """Print the table; 1 when a step takes too much."""
    budgets = json.loads(FILE.read_text())
    counts = {name: await count_of(make()) for name, make in STEPS.items()}
    if writes:
        budgets[VERSION] = {name: asdict(count) for name, count in counts.items()}
        FILE.write_text(json.dumps(budgets, indent=2) + "\n")
    known = budgets.get(VERSION)
    if known is None:
        print(f"no budgets for Python {VERSION}: only for {', '.join(budgets)}; --write makes them")
        return 0
    print("| step | instructions | calls | times its budget |\n|---|---|---|---|")
    worst = 0.0
    for name, count in counts.items():
        times = excess(count, known[name])
        worst = max(worst, times)
        print(f"| {name} | {count.instructions} | {count.calls} | {times:.2f} |")
    if worst > MOST:
        print(f"too much: a step may take {MOST} times its budget; if it has to, --write it, and say why")
    return int(worst > MOST)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(writes="--write" in sys.argv[1:])))
