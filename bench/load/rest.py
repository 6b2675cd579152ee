"""A picker with nothing to do, and one that has seen very many prompts."""

import asyncio

from load import wrk
from load.cost import running_subjects, warm_up
from load.kernel import cpu_s, resident_mb
from load.plan import SMALL, Case, Plan
from load.results import Idle, Memory
from load.seen import require_seen, seen
from load.subjects import Kind, Running, Subject

IDLE = Case(name="idle", endpoints=100)
SETTLE_S = 5.0
IDLE_S = 20.0
SLICE_S = 10.0
NUMBERS_A_SLICE = 1_000_000
"""More than are sent in one: no number comes twice."""
UNFINISHED = 2 * wrk.CONNECTIONS
"""Requests that `wrk` may leave when its time is over: those of this slice, and those of the one before."""


async def measure_idle(plan: Plan) -> Idle:
    """Return what a picker over 100 endpoints uses, all with a real vLLM's metrics page."""
    async with running_subjects(IDLE, [Subject(Kind.EPP, plan.transports[0])], plan) as (one,):
        await asyncio.sleep(SETTLE_S)
        before = cpu_s(_pid(one))
        await asyncio.sleep(IDLE_S)
        return Idle(endpoints=IDLE.endpoints, percent=(cpu_s(_pid(one)) - before) / IDLE_S * 100)


async def measure_memory(plan: Plan) -> Memory:
    """Return a picker's resident set before and after very many distinct prompts; raises `LoadError`."""
    async with running_subjects(SMALL, [Subject(Kind.EPP, plan.transports[0])], plan) as (one,):
        await warm_up(one, SMALL)
        before_mb = resident_mb(_pid(one))
        prompts = await _send_prompts(one, plan.prompts)
        after_mb = resident_mb(_pid(one))
    return Memory(prompts=prompts, prompt_bytes=wrk.PROMPT_BYTES, before_mb=before_mb, after_mb=after_mb)


async def _send_prompts(running: Running, wanted: int) -> int:
    """Send distinct prompts until there were enough; returns how many."""
    sent = number = 0
    while sent < wanted:
        counted = await seen(running)
        answered = await wrk.send_distinct(running.url, first=number * NUMBERS_A_SLICE, seconds=SLICE_S)
        require_seen(answered, (await seen(running)).since(counted), unfinished=UNFINISHED)
        sent += answered
        number += 1
    return sent


def _pid(running: Running) -> int:
    """Return the process of a picker of ours."""
    assert running.asked.pid is not None  # noqa: S101 - we started it
    return running.asked.pid
