"""Results of a run, with figures that meet every bound unless told otherwise."""

from collections.abc import Sequence

from load.results import (
    CaseCosts,
    Cost,
    Idle,
    Machine,
    Memory,
    Results,
    SubjectCost,
    SubjectLatency,
    Waited,
)

MACHINE = Machine(cores=2, busy_cores=0.25, envoy="1.40.0", python="3.11.7", picker="0.1.0", date="2026-11-21")


def make_cost(picker_us: float | None = 300.0, envoy_us: float = 600.0, *, messages: float = 4.0) -> Cost:
    return Cost(requests=100, picker_us=picker_us, envoy_us=envoy_us, messages=messages)


def make_subject(subject: str, *picker_us: float | None, envoy_us: float = 600.0) -> SubjectCost:
    return SubjectCost(subject=subject, rounds=[make_cost(spent, envoy_us) for spent in picker_us])


def make_case(case: str, *subjects: SubjectCost, chunks: int = 0) -> CaseCosts:
    return CaseCosts(case=case, chunks=chunks, subjects=subjects)


def make_latency(subject: str, added: Sequence[Waited], *, per_s: int = 500) -> SubjectLatency:
    rounds = [Waited(p50_ms=one.p50_ms + 1, p99_ms=one.p99_ms + 1) for one in added]
    return SubjectLatency(per_s=per_s, subject=subject, rounds=rounds, added=added)


def make_results(
    *, hyper_us: float = 300.0, grpcio_us: float = 1_300.0, chunk_us: float = 25.0, large_us: float = 3_900.0
) -> Results:
    small = make_case(
        "1 KB",
        make_subject("epp/hyper", hyper_us),
        make_subject("echo/hyper", 200.0),
        make_subject("epp/grpcio", grpcio_us),
        make_subject("echo/grpcio", 1_000.0),
    )
    large = make_case("400 KB", make_subject("epp/hyper", large_us))
    streamed = make_case("1 KB, 1000 chunks", make_subject("epp/hyper", chunk_us * 1_000), chunks=1_000)
    return Results(
        machine=MACHINE,
        command="make bench",
        costs=[small, large, streamed],
        latencies=[
            make_latency("no ext_proc", [Waited(p50_ms=0.0, p99_ms=0.0)]),
            make_latency("epp/hyper", [Waited(p50_ms=0.75, p99_ms=4.25)]),
        ],
        idle=Idle(endpoints=100, percent=2.5),
        memory=Memory(prompts=100_000, prompt_bytes=960, before_mb=80.0, after_mb=110.0),
    )
