"""CPU of the picker and of Envoy for each request."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from epp.demo.parts import HOST
from epp.demo.process import free_ports
from load import h2load
from load.kernel import cpu_s
from load.plan import ENDPOINTS, Case, Plan
from load.results import CaseCosts, Cost, SubjectCost
from load.seen import require_seen, seen
from load.subjects import Kind, Running, Subject, running_subject
from load.upstream import running_upstream

FIRST_REQUESTS = 64
WARM_UP_S = 1.0
REST_S = 2.0
SETTLE_S = 2.0
SETTLE_AN_ENDPOINT_S = 0.005
"""The first scrapes open a connection to every endpoint."""


def subjects_of(case: Case, plan: Plan) -> list[Subject]:
    """Return who is compared. A pool of another size is of our picker only, on the first transport."""
    transports = plan.transports if case.endpoints == ENDPOINTS else plan.transports[:1]
    ours = [Subject(kind, transport) for transport in transports for kind in (Kind.EPP, Kind.ECHO)]
    return [*ours, Subject(Kind.PEER)] if plan.peer and case.endpoints == ENDPOINTS else ours


async def measure_costs(case: Case, plan: Plan) -> CaseCosts:
    """Return what a request of one case costs each subject; raises `LoadError`.

    All of them run all the time; they get requests one after the other, and the other way round in every other round.
    """
    async with running_subjects(case, subjects_of(case, plan), plan) as subjects:
        await asyncio.sleep(SETTLE_S + SETTLE_AN_ENDPOINT_S * case.endpoints)
        at_rest = await rest_percents(subjects)
        counts = [round(plan.seconds * await warm_up(one, case)) for one in subjects]
        requests = {one.subject: max(count, h2load.CONNECTIONS) for one, count in zip(subjects, counts, strict=True)}
        costs: dict[Subject, list[Cost]] = {one.subject: [] for one in subjects}
        for number in range(plan.rounds):
            for one in subjects[:: -1 if number % 2 else 1]:
                costs[one.subject].append(await measure_once(one, case, requests[one.subject]))
    rows = [
        SubjectCost(subject=subject.name, rounds=rounds, rest_percent=at_rest[subject])
        for subject, rounds in costs.items()
    ]
    return CaseCosts(case=case.name, chunks=case.chunks, subjects=rows)


@contextlib.asynccontextmanager
async def running_subjects(case: Case, subjects: Sequence[Subject], plan: Plan) -> AsyncIterator[list[Running]]:
    """Run the model servers and all subjects."""
    async with contextlib.AsyncExitStack() as parts:
        (port,) = free_ports(HOST, [plan.upstream_port])
        endpoints = await parts.enter_async_context(running_upstream(case, port))
        yield [await parts.enter_async_context(running_subject(subject, case, endpoints, plan)) for subject in subjects]


async def rest_percents(subjects: Sequence[Running]) -> dict[Subject, float | None]:
    """Return what each subject uses while no requests come, of a core."""
    before = [_cpu_s(one.asked.pid) for one in subjects]
    await asyncio.sleep(REST_S)
    after = [_cpu_s(one.asked.pid) for one in subjects]
    used = [_spent(*pair) for pair in zip(before, after, strict=True)]
    percents = [None if spent is None else spent / REST_S * 100 for spent in used]
    return {one.subject: percent for one, percent in zip(subjects, percents, strict=True)}


async def warm_up(running: Running, case: Case) -> float:
    """Send some requests; returns how many of them a second were answered."""
    few = h2load.CONNECTIONS if case.chunks else FIRST_REQUESTS
    first = await h2load.send(running.url, body_bytes=case.body_bytes, requests=few)
    if first.requests / first.per_s > WARM_UP_S:
        return first.per_s
    more = max(h2load.CONNECTIONS, round(first.per_s * WARM_UP_S))
    return (await h2load.send(running.url, body_bytes=case.body_bytes, requests=more)).per_s


async def measure_once(running: Running, case: Case, requests: int) -> Cost:
    """Return what these requests cost one subject; raises `LoadError` when not all of them count."""
    picker, envoy = running.asked.pid, running.envoy_pid
    counted = await seen(running)
    before = _cpu_s(picker), cpu_s(envoy)
    answered = await h2load.send(running.url, body_bytes=case.body_bytes, requests=requests)
    after = _cpu_s(picker), cpu_s(envoy)
    counted = (await seen(running)).since(counted)
    require_seen(answered.requests, counted)
    spent = _spent(before[0], after[0])
    return Cost(
        requests=answered.requests,
        picker_us=None if spent is None else spent / requests * 1e6,
        envoy_us=(after[1] - before[1]) / requests * 1e6,
        messages=counted.messages / requests,
    )


def _cpu_s(pid: int | None) -> float | None:
    """Return the CPU of a process, where it can be seen."""
    return None if pid is None else cpu_s(pid)


def _spent(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before
