"""A soak's report as a table."""

from collections.abc import Iterator, Sequence

from soak.verdict import Memory, Report, faults, memory

MB = 1e6


def rows(report: Report) -> Iterator[tuple[str, str]]:
    """Yield what was found, a line each."""
    envoy, picker = report.envoy, report.picker
    answers = ", ".join(f"{count} {kind}" for kind, count in envoy.answered.items() if count)
    yield "transport", report.transport
    yield "time", f"{report.seconds:.0f} s, {envoy.begun / report.seconds:.0f} requests/s"
    yield "requests sent / answered", f"{envoy.begun} / {answers}"
    yield "picker: streams / received / routed", f"{picker.streams} / {picker.received} / {picker.routed}"
    singly = f"{report.left} of them one by one, the others with their wrk"
    yield "clients that went away", f"{report.cancelled} requests ({singly})"
    yield "endpoints restarted", f"{report.restarts}, {len(report.kills)} of them by SIGKILL"
    failed = f"{len(report.failed)}, {len(report.unexplained)} of them unexplained"
    yield "requests that failed at a crash", failed
    yield "configurations", f"{report.valid} valid, {report.broken} broken; {_words(picker.reloads)}"
    yield from _memory_rows(memory(report.samples))
    yield "left at the end", _words(picker.left_over)
    yield "in Envoy", _words({"active requests": envoy.active} | dict(envoy.stream_faults))
    yield "wrk", _words(report.told)
    warm, end = report.descriptors
    yield "open descriptors, warm / end", f"{warm} / {end}"
    yield "unexpected warnings and errors", str(len(report.unexpected_lines))
    yield "verdict", "; ".join(faults(report)) or "passed"


def table(reports: Sequence[Report]) -> str:
    """Return all runs side by side."""
    columns = [dict(rows(report)) for report in reports]
    names = list(columns[0])
    lines = [" | ".join([name, *(column[name] for column in columns)]) for name in names]
    rule = "|".join("---" for _ in range(len(columns) + 1))
    return (
        "\n".join(f"| {line} |" for line in lines[:1]) + f"\n|{rule}|\n" + "\n".join(f"| {one} |" for one in lines[1:])
    )


def _memory_rows(how: Memory) -> Iterator[tuple[str, str]]:
    yield "memory by tenths, MB", ", ".join(f"{part / MB:.1f}" for part in how.tenths)
    yield "memory in the last half", f"{how.growth / MB:+.1f} MB, {how.slope / MB:+.2f} MB for 100,000 requests"


def _words(counts: object) -> str:
    assert isinstance(counts, dict)  # noqa: S101 - all are
    return ", ".join(f"{name} {value:g}" for name, value in counts.items()) or "nothing"
