"""What was measured: plain data, which is also the JSON."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from load.subjects import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """CPU for each request, of one subject in one round."""

    requests: int
    picker_us: float | None
    """None where it cannot be seen."""
    envoy_us: float
    messages: float
    """ext_proc messages that Envoy sent for each request."""

    @property
    def of_envoy(self) -> float | None:
        """The picker's CPU, as a share of Envoy's for the same requests."""
        return None if self.picker_us is None or not self.envoy_us else self.picker_us / self.envoy_us


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectCost:
    """CPU for each request, of one subject in every round."""

    subject: str
    rounds: Sequence[Cost]
    rest_percent: float | None = None
    """Of a core, before there were requests: what scraping costs, which is in the figures of the rounds too."""

    def median(self, value: Callable[[Cost], float | None]) -> float | None:
        """Return the median over rounds; none when a round has none."""
        values = [found for cost in self.rounds if (found := value(cost)) is not None]
        return statistics.median(values) if len(values) == len(self.rounds) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseCosts:
    """One case, and each subject in it; rounds of the same number ran one after the other."""

    case: str
    chunks: int
    subjects: Sequence[SubjectCost]

    def of(self, subject: str) -> SubjectCost | None:
        """Return one subject's costs; none where it did not run."""
        return next((one for one in self.subjects if one.subject == subject), None)

    def of_echo(self, subject: str) -> float | None:
        """Return the picker's CPU over that of the echo on its transport: the median of the rounds' ratios."""
        kind, _, transport = subject.partition("/")
        mine, echo = self.of(subject), self.of(f"{Kind.ECHO}/{transport}")
        if kind != Kind.EPP or mine is None or echo is None:
            return None
        pairs = zip(mine.rounds, echo.rounds, strict=True)
        ratios = [one.picker_us / other.picker_us for one, other in pairs if one.picker_us and other.picker_us]
        return statistics.median(ratios) if ratios else None

    def chunk_us(self, subject: SubjectCost) -> float | None:
        """Return the picker's CPU for each chunk that a model server wrote, its request's share included."""
        spent = subject.median(lambda cost: cost.picker_us)
        return spent / self.chunks if self.chunks and spent is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waited:
    """How long requests took, of one subject in one round."""

    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectLatency:
    """How long requests took at one rate."""

    per_s: int
    subject: str
    rounds: Sequence[Waited]
    added: Sequence[Waited]
    """Over the same Envoy without ext_proc in the same round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """What a picker uses at rest."""

    endpoints: int
    percent: float
    """Of a core."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What a picker's resident set grows by."""

    prompts: int
    prompt_bytes: int
    before_mb: float
    after_mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a figure depends on."""

    cores: int
    busy_cores: float
    """What other programs used just before the run."""
    envoy: str
    python: str
    picker: str
    date: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """A whole run."""

    machine: Machine
    command: str
    costs: Sequence[CaseCosts] = ()
    latencies: Sequence[SubjectLatency] = ()
    idle: Idle | None = None
    memory: Memory | None = None

    def case(self, name: str) -> CaseCosts | None:
        """Return one case; none where it did not run."""
        return next((one for one in self.costs if one.case == name), None)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of all is not over (nearest rank); raises on none."""
    ordered = sorted(values)
    rank = max(1, math.ceil(share * len(ordered)))
    return ordered[rank - 1]


def waited(took_ms: Sequence[float]) -> Waited:
    """Return the percentiles of one round."""
    return Waited(p50_ms=percentile(took_ms, 0.5), p99_ms=percentile(took_ms, 0.99))


def added(subject: Sequence[Waited], without: Sequence[Waited]) -> list[Waited]:
    """Return what ext_proc adds, round by round."""
    return [
        Waited(p50_ms=mine.p50_ms - bare.p50_ms, p99_ms=mine.p99_ms - bare.p99_ms)
        for mine, bare in zip(subject, without, strict=True)
    ]


def median_waited(rounds: Sequence[Waited]) -> Waited:
    """Return the medians over rounds."""
    return Waited(
        p50_ms=statistics.median(one.p50_ms for one in rounds), p99_ms=statistics.median(one.p99_ms for one in rounds)
    )
