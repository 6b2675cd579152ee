"""What a run has to show: two cores, the default profile, ten endpoints."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from load.plan import LARGE, SMALL, STREAMED
from load.results import Results, SubjectCost, median_waited
from load.subjects import Kind, Subject

HYPER = Subject(Kind.EPP, "hyper").name
GRPCIO = Subject(Kind.EPP, "grpcio").name
BOUND_RATE_PER_S = 500
OF_ENVOY, OF_ECHO_HYPER, OF_ECHO_GRPCIO = 0.6, 1.6, 1.4
CHUNK_US, LARGE_MS = 30.0, 4.0
IDLE_PERCENT = 3.0
ADDED_P50_MS, ADDED_P99_MS = 1.0, 5.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """A bound, and what was measured."""

    what: str
    unit: str
    most: float
    measured: float | None
    """None: not a part of this run."""

    @property
    def is_missed(self) -> bool:
        """Whether it was measured, and is over the bound."""
        return self.measured is not None and self.measured > self.most

    @property
    def word(self) -> str:
        """As tables say it."""
        if self.measured is None:
            return "not measured"
        return "MISSED" if self.is_missed else "met"


def judge(results: Results) -> list[Verdict]:
    """Return every bound, in the order in which tables show them."""
    return [*_cost_verdicts(results), *_other_verdicts(results)]


def _cost_verdicts(results: Results) -> Iterator[Verdict]:
    small, large, streamed = (results.case(case.name) for case in (SMALL, LARGE, STREAMED))
    hyper = small.of(HYPER) if small else None
    of_envoy = hyper.median(lambda cost: cost.of_envoy) if hyper else None
    yield Verdict("1 KB, hyper: CPU / Envoy's CPU", "", OF_ENVOY, of_envoy)
    yield Verdict("1 KB, hyper: CPU / echo's CPU", "", OF_ECHO_HYPER, small.of_echo(HYPER) if small else None)
    yield Verdict("1 KB, grpcio: CPU / echo's CPU", "", OF_ECHO_GRPCIO, small.of_echo(GRPCIO) if small else None)
    chunked = streamed.of(HYPER) if streamed else None
    chunk_us = streamed.chunk_us(chunked) if streamed and chunked else None
    yield Verdict("1,000 chunks as fast as they are written, hyper: CPU a chunk", "us", CHUNK_US, chunk_us)
    large_us = _picker_us(large.of(HYPER) if large else None)
    large_ms = None if large_us is None else large_us / 1_000
    yield Verdict("400 KB, hyper: CPU a request", "ms", LARGE_MS, large_ms)


def _other_verdicts(results: Results) -> Iterator[Verdict]:
    idle = results.idle
    yield Verdict("idle, 100 endpoints: share of a core", "%", IDLE_PERCENT, idle.percent if idle else None)
    rounds = [one.added for one in results.latencies if (one.subject, one.per_s) == (HYPER, BOUND_RATE_PER_S)]
    added = median_waited(rounds[0]) if rounds else None
    yield Verdict("500 requests/s, hyper: added p50", "ms", ADDED_P50_MS, added.p50_ms if added else None)
    yield Verdict("500 requests/s, hyper: added p99", "ms", ADDED_P99_MS, added.p99_ms if added else None)


def _picker_us(subject: SubjectCost | None) -> float | None:
    return subject.median(lambda cost: cost.picker_us) if subject else None


def exit_code(verdicts: Sequence[Verdict]) -> int:
    """Return 1 when a bound was missed."""
    return int(any(verdict.is_missed for verdict in verdicts))
