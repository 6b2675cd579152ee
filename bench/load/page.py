"""Results as a page that needs nothing from elsewhere."""

from collections.abc import Iterator, Sequence
from html import escape

from load.bounds import Verdict
from load.plots import Bar, Chart, Group, svg
from load.results import CaseCosts, Results, SubjectLatency, median_waited
from load.subjects import Kind
from load.table import (
    BOUND_COLUMNS,
    COST_COLUMNS,
    LATENCY_COLUMNS,
    REST_COLUMNS,
    Rows,
    bound_rows,
    cost_rows,
    facts,
    latency_rows,
    rest_rows,
)

MISSED_COLOUR, MET_COLOUR = "#b3261e", "#3c6e3f"
ENVOY_COLOUR = "#9aa5b1"
COLOURS = {Kind.EPP: "#1f5fa8", Kind.ECHO: "#e08e0b", Kind.PEER: "#3c8d40", Kind.NOBODY: ENVOY_COLOUR}
PALE = {Kind.EPP: "#7fa8d6", Kind.ECHO: "#f0c48a", Kind.PEER: "#93c795"}
STYLE = f"""
body {{ font: 15px/1.5 system-ui, sans-serif; color: #1c2128; background: #fff; max-width: 70rem; margin: 2rem auto; }}
body {{ padding: 0 1rem; }}
h2 {{ margin-top: 2.5rem; }}
table {{ border-collapse: collapse; font-size: 13px; display: block; overflow-x: auto; }}
th, td {{ border-bottom: 1px solid #d8dce2; padding: 0.25rem 0.7rem; text-align: right; white-space: nowrap; }}
th {{ white-space: normal; vertical-align: bottom; }}
.words, th:first-child, td:first-child, .named td:nth-child(2), .named th:nth-child(2) {{ text-align: left; }}
svg {{ max-width: 100%; height: auto; font-family: system-ui, sans-serif; }}
svg .label {{ font-size: 12px; fill: #1c2128; }}
svg .tick {{ font-size: 11px; fill: #57606a; }}
svg .group {{ font-size: 13px; font-weight: 600; fill: #1c2128; }}
.missed {{ color: {MISSED_COLOUR}; font-weight: 600; }}
.met {{ color: {MET_COLOUR}; font-weight: 600; }}
"""


def page_of(results: Results, verdicts: Sequence[Verdict]) -> str:
    """Return the whole page."""
    body = "\n".join([_head(results), *_bounds(verdicts), *_costs(results), *_latencies(results), *_rest(results)])
    title = "What a request costs"
    start = f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>'
    return f"{start}\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n{body}\n</body>\n</html>\n"


def _head(results: Results) -> str:
    medians = "Medians over rounds in which all subjects took turns. Machines differ and are shared"
    return f"<p>{escape(facts(results))}</p>\n<p>{medians}: ratios within a run say something, times alone do not.</p>"


def _bounds(verdicts: Sequence[Verdict]) -> Iterator[str]:
    yield "<h2>Bounds</h2>"
    classes = {"MISSED": "missed", "met": "met"}
    rows = bound_rows(verdicts)
    yield _table(BOUND_COLUMNS, rows, last=[classes.get(row[-1], "") for row in rows])


def _costs(results: Results) -> Iterator[str]:
    if not results.costs:
        return
    yield "<h2>CPU a request</h2>"
    yield "<p>As the kernel counts it: of the one that is asked, and below it, in grey, of the Envoy that asks.</p>"
    for case in results.costs:
        if groups := cost_groups(case):
            yield f"<h3>{escape(case.case)}</h3>"
            yield svg(Chart(unit="us a request", groups=groups))
    yield _table(COST_COLUMNS, cost_rows(results), names=2)


def cost_groups(case: CaseCosts) -> list[Group]:
    """Return a group for each subject: its CPU, and that of its Envoy."""
    groups = []
    for subject in case.subjects:
        kind = Kind(subject.subject.partition("/")[0])
        values = {
            kind.value: (subject.median(lambda cost: cost.picker_us), COLOURS[kind]),
            "Envoy": (subject.median(lambda cost: cost.envoy_us), ENVOY_COLOUR),
        }
        bars = [Bar(label, value, colour) for label, (value, colour) in values.items() if value is not None]
        groups.append(Group(subject.subject, bars))
    return groups


def _latencies(results: Results) -> Iterator[str]:
    if not results.latencies:
        return
    yield "<h2>Added latency</h2>"
    yield "<p>Over the same Envoy without ext_proc, one worker; requests come evenly, from 50 connections.</p>"
    for group in latency_groups(results.latencies):
        yield svg(Chart(unit="added ms", groups=[group]))
    yield _table(LATENCY_COLUMNS, latency_rows(results), names=2)


def latency_groups(latencies: Sequence[SubjectLatency]) -> list[Group]:
    """Return a group for each rate: both percentiles of every subject that adds something."""
    rates = dict.fromkeys(one.per_s for one in latencies)
    return [
        Group(f"{per_s} requests/s", [bar for one in latencies if one.per_s == per_s for bar in _added_bars(one)])
        for per_s in rates
    ]


def _added_bars(latency: SubjectLatency) -> Iterator[Bar]:
    kind = Kind(latency.subject.partition("/")[0])
    if kind is Kind.NOBODY:
        return
    added = median_waited(latency.added)
    yield Bar(f"{latency.subject} p50", added.p50_ms, COLOURS[kind])
    yield Bar(f"{latency.subject} p99", added.p99_ms, PALE[kind])


def _rest(results: Results) -> Iterator[str]:
    if rows := rest_rows(results):
        yield "<h2>At rest, and after many prompts</h2>"
        yield _table(REST_COLUMNS, rows, names=2)


def _table(columns: Sequence[str], rows: Rows, *, names: int = 1, last: Sequence[str] = ()) -> str:
    """Return a table; ``names``: how many columns are words; ``last``: the class of each row's last cell."""
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    lines = []
    for row, kind in zip(rows, last or [""] * len(rows), strict=True):
        cells = [f"<td>{escape(cell)}</td>" for cell in row[:-1]]
        lines.append("<tr>" + "".join(cells) + f'<td class="{kind}">{escape(row[-1])}</td></tr>')
    style = ' class="named"' if names > 1 else ""
    return f"<table{style}><thead><tr>{head}</tr></thead>\n<tbody>" + "\n".join(lines) + "</tbody></table>"
