import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from load.bounds import judge
from load.kernel import TICKS_PER_S
from load.machine import busy_s, envoy_version
from load.page import cost_groups, latency_groups, page_of
from load.plots import Bar, Chart, Group, Scale, figure, svg, ticks_for
from load.results import Results
from load.table import COST_COLUMNS, bound_rows, cost_rows, latency_rows, markdown, rest_rows, text_of
from tests.unit.bench.builders import MACHINE, make_case, make_results, make_subject


def cells_of(results: Results) -> list[dict[str, str]]:
    return [dict(zip(COST_COLUMNS, row, strict=True)) for row in cost_rows(results)]


def test_a_row_has_the_medians_of_its_subject() -> None:
    case = make_case("1 KB", make_subject("epp/hyper", 250, 350, 300), make_subject("echo/hyper", 100, 100, 100))
    mine, echo = cells_of(Results(machine=MACHINE, command="make bench", costs=[case]))
    assert (mine["picker us"], mine["Envoy us"], mine["picker / Envoy"]) == ("300", "600", "0.50")
    assert (mine["picker / echo"], echo["picker / echo"]) == ("3.00", "-")


def test_what_a_chunk_and_a_message_cost_stands_only_where_answers_are_streamed() -> None:
    by_case = {row["case"]: row for row in cells_of(make_results()) if row["subject"] == "epp/hyper"}
    streamed, small = by_case["1 KB, 1000 chunks"], by_case["1 KB"]
    assert (streamed["us a chunk"], streamed["us a message"]) == ("25.0", "6250.0")
    assert (small["us a chunk"], small["us a message"]) == ("-", "-")


def test_a_peer_whose_cpu_cannot_be_seen_has_a_row_without_it() -> None:
    results = Results(machine=MACHINE, command="", costs=[make_case("1 KB", make_subject("peer", None))])
    (row,) = cells_of(results)
    assert (row["subject"], row["picker us"], row["picker / Envoy"], row["Envoy us"]) == ("peer", "-", "-", "600")


def test_other_rows_say_added_latency_idle_cpu_and_bytes_a_prompt() -> None:
    results = make_results()
    assert latency_rows(results)[1] == ("500", "epp/hyper", "1.75", "5.25", "0.75", "4.25")
    idle, memory = rest_rows(results)
    assert idle[1] == "2.50 % of a core"
    assert memory == (
        "memory before and after 100,000 distinct prompts of 960 bytes",
        "80.0 MB, 110.0 MB: 300 bytes a prompt",
    )


def test_a_bound_is_shown_with_its_unit_and_verdict() -> None:
    rows = {row[0]: row[1:] for row in bound_rows(judge(make_results(large_us=4_500)))}
    assert rows["400 KB, hyper: CPU a request"] == ("4 ms", "4.50 ms", "MISSED")


def test_columns_of_a_table_line_up() -> None:
    assert (
        markdown(("a", "long"), [("wide cell", "1")])
        == "| a         | long |\n|-----------|------|\n| wide cell | 1    |"
    )


def test_text_begins_with_the_facts_of_the_machine() -> None:
    first = text_of(make_results(), judge(make_results())).splitlines()[0]
    assert "2026-11-21, 2 cores (0.2 used by others)" in first
    assert "epp 0.1.0, Envoy 1.40.0, Python 3.11.7; `make bench`" in first


def test_a_page_has_every_figure_and_needs_nothing_from_elsewhere() -> None:
    results = make_results(large_us=4_500)
    page = page_of(results, judge(results))
    for row in (*cost_rows(results), *latency_rows(results), *rest_rows(results)):
        assert all(f">{cell}</td>" in page for cell in row)
    assert '<td class="missed">MISSED</td>' in page
    assert not re.search(r"<script|<link|<img|https?://|url\(", page)


def test_a_pages_pictures_are_well_formed() -> None:
    results = make_results()
    pictures = re.findall(r"<svg.*?</svg>", page_of(results, judge(results)))
    assert len(pictures) == len(results.costs) + 1
    for picture in pictures:
        ET.fromstring(picture)  # noqa: S314 - our own


def test_each_subject_is_shown_beside_its_envoy() -> None:
    groups = cost_groups(make_case("1 KB", make_subject("epp/hyper", 300), make_subject("peer", None)))
    assert [(group.title, [(bar.label, bar.value) for bar in group.bars]) for group in groups] == [
        ("epp/hyper", [("epp", 300), ("Envoy", 600)]),
        ("peer", [("Envoy", 600)]),
    ]


def test_latency_bars_are_of_those_that_add_something() -> None:
    (group,) = latency_groups(make_results().latencies)
    assert group.title == "500 requests/s"
    assert [(bar.label, bar.value) for bar in group.bars] == [("epp/hyper p50", 0.75), ("epp/hyper p99", 4.25)]


@pytest.mark.parametrize(
    ("values", "first", "last"),
    [
        pytest.param([3.0, 9.5], 0, 10, id="above 0"),
        pytest.param([1_230.0], 0, 1_500, id="thousands"),
        pytest.param([-0.3, 0.9], -0.5, 1.0, id="some below 0"),
        pytest.param([0.0], 0, 0.2, id="nothing"),
    ],
)
def test_an_axis_reaches_over_all_values_in_round_steps(values: list[float], first: float, last: float) -> None:
    ticks = ticks_for(values)
    assert ticks[0] == pytest.approx(first)
    assert ticks[-1] == pytest.approx(last)
    assert 0 in ticks


def test_a_bar_is_as_long_as_its_value() -> None:
    scale = Scale(0, 10)
    assert scale.x(10) - scale.x(0) == 2 * (scale.x(5) - scale.x(0))
    picture = svg(Chart(unit="us", groups=[Group("one & two", [Bar("a", 10, "#000"), Bar("b", 5, "#000")])]))
    long, short = (float(width) for width in re.findall(r'<rect [^>]*width="([\d.]+)"', picture))
    assert long == 2 * short
    assert "one &amp; two" in picture


@pytest.mark.parametrize(("value", "shown"), [(0.123, "0.12"), (12.34, "12.3"), (1234.5, "1,234"), (-0.5, "-0.50")])
def test_a_figure_has_three_digits_that_count(value: float, shown: str) -> None:
    assert figure(value) == shown


def test_envoys_version_is_cut_out_of_what_it_prints() -> None:
    printed = "envoy  version: 0123456789abcdef/1.40.0/Clean/RELEASE/BoringSSL\n"
    assert envoy_version(printed) == "1.40.0"
    assert envoy_version("something else") == "unknown"


def test_cores_work_while_they_are_neither_idle_nor_waiting(tmp_path: Path) -> None:
    once, later = tmp_path / "once", tmp_path / "later"
    once.write_text("cpu  100 10 50 9000 800 5 5 0 0 0\ncpu0 1 1\n")
    later.write_text("cpu  300 10 50 9900 900 5 5 0 0 0\ncpu0 1 1\n")
    assert busy_s(later) - busy_s(once) == pytest.approx(200 / TICKS_PER_S)
