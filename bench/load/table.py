"""Results as text: tables that are Markdown too."""

from collections.abc import Iterator, Sequence

from load.bounds import Verdict
from load.results import CaseCosts, Cost, Results, SubjectCost, SubjectLatency, median_waited

Rows = Sequence[Sequence[str]]

COST_COLUMNS = (
    *("case", "subject", "requests a round", "picker us", "Envoy us", "picker / Envoy", "picker / echo"),
    *("messages", "us a chunk", "us a message", "at rest %"),
)
LATENCY_COLUMNS = ("requests/s", "subject", "p50 ms", "p99 ms", "added p50 ms", "added p99 ms")
REST_COLUMNS = ("what", "measured")
BOUND_COLUMNS = ("bound", "at most", "measured", "verdict")
MISSING = "-"


def text_of(results: Results, verdicts: Sequence[Verdict]) -> str:
    """Return everything that a run prints."""
    parts = [facts(results), markdown(COST_COLUMNS, cost_rows(results))] if results.costs else [facts(results)]
    if results.latencies:
        parts.append(markdown(LATENCY_COLUMNS, latency_rows(results)))
    if rows := rest_rows(results):
        parts.append(markdown(REST_COLUMNS, rows))
    return "\n\n".join([*parts, markdown(BOUND_COLUMNS, bound_rows(verdicts))])


def facts(results: Results) -> str:
    """Return what the figures depend on, in one line."""
    machine = results.machine
    versions = f"epp {machine.picker}, Envoy {machine.envoy}, Python {machine.python}"
    cores = f"{machine.cores} cores ({machine.busy_cores:.1f} used by others)"
    return f"{machine.date}, {cores}, {versions}; `{results.command}`"


def markdown(columns: Sequence[str], rows: Rows) -> str:
    """Return a table whose columns line up."""
    widths = [max(len(row[place]) for row in (columns, *rows)) for place in range(len(columns))]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (columns, *rows)]
    rule = "|".join("-" * (width + 2) for width in widths)
    return "\n".join([f"| {lines[0]} |", f"|{rule}|", *(f"| {line} |" for line in lines[1:])])


def cost_rows(results: Results) -> Rows:
    """Return a row for each case and subject: medians over rounds."""
    return [_cost_row(case, subject) for case in results.costs for subject in case.subjects]


def _cost_row(case: CaseCosts, subject: SubjectCost) -> Sequence[str]:
    return (
        case.case,
        subject.subject,
        str(subject.rounds[0].requests),
        number(subject.median(lambda cost: cost.picker_us), 0),
        number(subject.median(lambda cost: cost.envoy_us), 0),
        number(subject.median(lambda cost: cost.of_envoy), 2),
        number(case.of_echo(subject.subject), 2),
        number(subject.median(lambda cost: cost.messages), 0),
        number(case.chunk_us(subject), 1),
        number(subject.median(message_us), 1) if case.chunks else MISSING,
        number(subject.rest_percent, 1),
    )


def message_us(cost: Cost) -> float | None:
    """Return the picker's CPU for each message that it was sent."""
    return None if cost.picker_us is None or not cost.messages else cost.picker_us / cost.messages


def latency_rows(results: Results) -> Rows:
    """Return a row for each rate and subject: medians over rounds."""
    return [tuple(_latency_row(latency)) for latency in results.latencies]


def _latency_row(latency: SubjectLatency) -> Iterator[str]:
    waits, added = median_waited(latency.rounds), median_waited(latency.added)
    yield from (str(latency.per_s), latency.subject, number(waits.p50_ms, 2), number(waits.p99_ms, 2))
    yield from (number(added.p50_ms, 2), number(added.p99_ms, 2))


def rest_rows(results: Results) -> Rows:
    """Return what an idle picker uses, and what prompts leave behind."""
    rows = []
    if idle := results.idle:
        rows.append((f"CPU at rest, {idle.endpoints} endpoints", f"{idle.percent:.2f} % of a core"))
    if memory := results.memory:
        what = f"memory before and after {memory.prompts:,} distinct prompts of {memory.prompt_bytes} bytes"
        each = (memory.after_mb - memory.before_mb) * 1e6 / memory.prompts
        rows.append((what, f"{memory.before_mb:.1f} MB, {memory.after_mb:.1f} MB: {each:.0f} bytes a prompt"))
    return rows


def bound_rows(verdicts: Sequence[Verdict]) -> Rows:
    """Return a row for each bound."""
    return [
        (one.what, f"{one.most:g} {one.unit}".strip(), f"{number(one.measured, 2)} {one.unit}".strip(), one.word)
        for one in verdicts
    ]


def number(value: float | None, digits: int) -> str:
    """Return a figure, or what stands for none."""
    return MISSING if value is None else f"{value:.{digits}f}"
