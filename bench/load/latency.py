"""How much longer a request takes, at a fixed rate, than through the same Envoy without ext_proc."""

from collections.abc import Sequence

from load import h2load
from load.cost import running_subjects, warm_up
from load.gateway import DESTINATION
from load.plan import SMALL, Plan
from load.results import SubjectLatency, Waited, added, waited
from load.seen import require_seen, seen
from load.subjects import Kind, Running, Subject

RATES_PER_S = (100, 500)
MIN_REQUESTS = 1_000
"""In a round: of fewer, the 99th percentile says little."""


async def measure_latencies(plan: Plan) -> list[SubjectLatency]:
    """Return what each subject adds, at each rate; raises `LoadError`."""
    asked = [Subject(kind, transport) for transport in plan.transports for kind in (Kind.EPP, Kind.ECHO)]
    subjects = [Subject(Kind.NOBODY), *asked, *([Subject(Kind.PEER)] if plan.peer else [])]
    async with running_subjects(SMALL, subjects, plan) as (bare, *others):
        for one in others:
            await warm_up(one, SMALL)
        return [latency for per_s in RATES_PER_S for latency in await _at_rate(per_s, bare, others, plan)]


async def _at_rate(per_s: int, bare: Running, others: Sequence[Running], plan: Plan) -> list[SubjectLatency]:
    """Measure in rounds; in each, every subject gets its requests."""
    waits: dict[Subject, list[Waited]] = {one.subject: [] for one in (bare, *others)}
    seconds = max(plan.seconds, min(MIN_REQUESTS / per_s, 2 * plan.seconds))
    for _ in range(plan.rounds):
        for one in (bare, *others):
            waits[one.subject].append(waited(await _measure_once(one, per_s, round(per_s * seconds))))
    return [
        SubjectLatency(per_s=per_s, subject=subject.name, rounds=rounds, added=added(rounds, waits[bare.subject]))
        for subject, rounds in waits.items()
    ]


async def _measure_once(running: Running, per_s: int, requests: int) -> Sequence[float]:
    destination = f"{DESTINATION}: {running.endpoint}"
    headers = [destination] if running.subject.kind is Kind.NOBODY else []
    counted = await seen(running)
    took = await h2load.send_paced(
        running.url, body_bytes=SMALL.body_bytes, per_s=per_s, requests=requests, headers=headers
    )
    if running.subject.kind is not Kind.NOBODY:
        require_seen(len(took), (await seen(running)).since(counted))
    return took
