"""What a soak has found, without I/O: the numbers of a run, and what is wrong with them."""

import datetime as dt
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from soak.readings import Ending, EnvoyCounts
from soak.servers import Kill

NOTICED_WITHIN_S = 2.0
"""How long after a crash requests may still fail there; and how long after a return a log line may tell of it."""
FLAT_RATIO, FLAT_BYTES = 0.05, 8_000_000
"""How much memory may grow in the last half of a run: less than both."""
PARTS = 10
SPARE_DESCRIPTORS = 4
"""Connections to endpoints that are just being made: one each."""
LOUD = frozenset({"warning", "error", "critical"})
OF_CRASHES = frozenset({"endpoint_unready", "endpoint_ejected", "prefix_cache"})
"""Warnings that a crash explains; the last says that an engine was restarted."""
REFUSED = "config_refused"


@dataclass(frozen=True, slots=True)
class Sample:
    """The picker's memory after so many requests."""

    requests: int
    resident_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Picker:
    """What the picker says of itself at the end."""

    received: int
    routed: int
    streams: int
    left_over: Mapping[str, float]
    """Gauges and counters that have to be 0."""
    reloads: Mapping[str, int]
    """By result, ``applied`` and ``refused``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One run."""

    transport: str
    seconds: float
    envoy: EnvoyCounts
    picker: Picker
    told: Mapping[str, int]
    """By the load's clients: errors."""
    left: int
    endings: Sequence[Ending]
    restarts: int
    kills: Sequence[Kill]
    valid: int
    broken: int
    samples: Sequence[Sample]
    descriptors: tuple[int, int]
    """When it was warm, and at the end."""
    log: Sequence[Mapping[str, Any]]

    @property
    def unanswered(self) -> int:
        """Requests to which Envoy has sent no head of an answer."""
        return self.envoy.begun - sum(self.envoy.answered.values())

    @property
    def cancelled(self) -> int:
        """Requests whose client went away."""
        return sum(ending.is_cancelled for ending in self.endings)

    @property
    def failed(self) -> Sequence[Ending]:
        """Requests that failed, or broke off, by no client's doing."""
        return [ending for ending in self.endings if not ending.is_cancelled]

    @property
    def unexplained(self) -> Sequence[Ending]:
        """Those that no crash explains."""
        return [ending for ending in self.failed if not any(_explains(kill, ending) for kill in self.kills)]

    @property
    def unexpected_lines(self) -> Sequence[Mapping[str, Any]]:
        """Warnings and errors in the log that neither a crash nor a broken file explains."""
        return [line for line in self.log if line.get("level") in LOUD and not self._is_expected(line)]

    def _is_expected(self, line: Mapping[str, Any]) -> bool:
        if line["event"] == REFUSED:
            return True
        at_s = dt.datetime.fromisoformat(line["timestamp"]).timestamp()
        port = str(line.get("endpoint", "")).rpartition("-")[2]
        return line["event"] in OF_CRASHES and any(
            kill.endpoint.endswith(f":{port}") and kill.at_s <= at_s <= kill.back_at_s + NOTICED_WITHIN_S
            for kill in self.kills
        )


@dataclass(frozen=True, slots=True)
class Memory:
    """The picker's memory over a run; bytes."""

    tenths: Sequence[float]
    """The median of each tenth of the requests."""
    slope: float
    """In the last half, for each 100,000 requests."""

    @property
    def growth(self) -> float:
        """From the first tenth of the last half to the last one."""
        return self.tenths[-1] - self.tenths[len(self.tenths) // 2]

    @property
    def is_flat(self) -> bool:
        """Whether it has grown no more than it may."""
        return self.growth < FLAT_BYTES and self.growth < FLAT_RATIO * self.tenths[len(self.tenths) // 2]


def memory(samples: Sequence[Sample]) -> Memory:
    """Return how memory went; raises `ValueError` for a run too short to tell."""
    last = max(sample.requests for sample in samples)
    parts: list[list[int]] = [[] for _ in range(PARTS)]
    for sample in samples:
        parts[min(PARTS - 1, sample.requests * PARTS // max(last, 1))].append(sample.resident_bytes)
    if not all(parts):
        raise ValueError("too few samples")
    late = [sample for sample in samples if sample.requests * 2 >= last]
    slope, _ = statistics.linear_regression([one.requests for one in late], [one.resident_bytes for one in late])
    return Memory([statistics.median(part) for part in parts], slope * 100_000)


def faults(report: Report) -> Iterator[str]:
    """Yield each condition that does not hold, in words."""
    yield from _lost_requests(report)
    yield from _picker_faults(report)
    how = memory(report.samples)
    if not how.is_flat:
        yield f"memory grew by {how.growth / 1e6:.1f} MB in the last half"
    warm, end = report.descriptors
    if end > warm + SPARE_DESCRIPTORS:
        yield f"{end} descriptors are open, {warm} were when it was warm"
    for line in report.unexpected_lines[:5]:
        yield f"in the log: {dict(line)}"


def _lost_requests(report: Report) -> Iterator[str]:
    lost = report.unanswered - sum(ending.is_cancelled and not ending.is_answered for ending in report.endings)
    if lost:
        yield f"{lost} requests have no answer, and their clients did not go away"
    if report.envoy.active:
        yield f"{report.envoy.active} requests are still open in Envoy"
    if report.unexplained:
        yield f"{len(report.unexplained)} requests failed that no crash explains, such as {report.unexplained[0]}"
    if report.told["timeout"] or report.told["connect"]:
        yield f"clients timed out or could not connect: {dict(report.told)}"
    if report.envoy.answered["3xx"] or report.envoy.answered["4xx"]:
        yield f"answers that nobody expects: {dict(report.envoy.answered)}"
    for fault, count in report.envoy.stream_faults.items():
        if count:
            yield f"Envoy's ext_proc counts {fault}: {count}"


def _picker_faults(report: Report) -> Iterator[str]:
    picker, envoy = report.picker, report.envoy
    if picker.streams != envoy.streams_begun:
        yield f"Envoy began {envoy.streams_begun} streams, the picker has ended {picker.streams}"
    answered = sum(envoy.answered.values())
    if not answered <= picker.routed <= picker.received <= envoy.begun:
        yield f"{answered} answered <= {picker.routed} routed <= {picker.received} received <= {envoy.begun} sent: no"
    for name, value in picker.left_over.items():
        if value:
            yield f"{name} is {value:g}"
    if picker.reloads != {"applied": report.valid, "refused": report.broken}:
        yield f"reloads: {dict(picker.reloads)} for {report.valid} valid and {report.broken} broken files"
    named = sum(line.get("event") == REFUSED for line in report.log)
    if named != report.broken:
        yield f"{report.broken} broken files are named {named} times in the log"


def _explains(kill: Kill, ending: Ending) -> bool:
    """Tell whether a crash is why a request failed: it was there, or was sent there before that was noticed."""
    return ending.endpoint == kill.endpoint and kill.at_s <= ending.ended_at_s <= kill.at_s + NOTICED_WITHIN_S
