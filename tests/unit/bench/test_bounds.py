import pytest

from load.bounds import Verdict, exit_code, judge
from load.results import Idle, Results, Waited
from tests.unit.bench.builders import MACHINE, make_latency, make_results


def missed(results: Results) -> list[str]:
    return [verdict.what for verdict in judge(results) if verdict.is_missed]


def test_a_run_within_all_bounds_succeeds() -> None:
    verdicts = judge(make_results())
    assert [verdict.word for verdict in verdicts] == ["met"] * 8
    assert [verdict.measured for verdict in verdicts] == [0.5, 1.5, 1.3, 25.0, 3.9, 2.5, 0.75, 4.25]
    assert exit_code(verdicts) == 0


@pytest.mark.parametrize(
    ("results", "what"),
    [
        pytest.param(make_results(grpcio_us=1_401), ["1 KB, grpcio: CPU / echo's CPU"], id="grpcio beside its echo"),
        pytest.param(make_results(hyper_us=330), ["1 KB, hyper: CPU / echo's CPU"], id="hyper beside its echo"),
        pytest.param(make_results(large_us=4_001), ["400 KB, hyper: CPU a request"], id="a long prompt"),
        pytest.param(
            make_results(chunk_us=30.5),
            ["1,000 chunks as fast as they are written, hyper: CPU a chunk"],
            id="a chunk",
        ),
        pytest.param(
            make_results(hyper_us=361),
            ["1 KB, hyper: CPU / Envoy's CPU", "1 KB, hyper: CPU / echo's CPU"],
            id="hyper beside Envoy",
        ),
    ],
)
def test_a_figure_over_its_bound_fails_the_run(results: Results, what: list[str]) -> None:
    assert missed(results) == what
    assert exit_code(judge(results)) == 1


def test_idle_cpu_and_both_percentiles_of_latency_have_bounds() -> None:
    latencies = [
        make_latency("epp/hyper", [Waited(p50_ms=9.0, p99_ms=9.0)], per_s=100),
        make_latency("epp/grpcio", [Waited(p50_ms=9.0, p99_ms=9.0)]),
        make_latency("epp/hyper", [Waited(p50_ms=1.1, p99_ms=5.1)]),
    ]
    idle = Idle(endpoints=100, percent=3.1)
    results = Results(machine=MACHINE, command="make bench", latencies=latencies, idle=idle)
    assert missed(results) == [
        "idle, 100 endpoints: share of a core",
        "500 requests/s, hyper: added p50",
        "500 requests/s, hyper: added p99",
    ]


def test_what_was_not_measured_is_said_and_fails_nothing() -> None:
    verdicts = judge(Results(machine=MACHINE, command="make bench"))
    assert {verdict.word for verdict in verdicts} == {"not measured"}
    assert exit_code(verdicts) == 0


def test_a_bound_may_be_reached() -> None:
    assert Verdict("anything", "", 0.6, 0.6).word == "met"
    assert Verdict("anything", "", 0.6, 0.61).word == "MISSED"
