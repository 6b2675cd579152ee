import pytest

from load.results import Waited, added, median_waited, percentile, waited
from tests.unit.bench.builders import make_case, make_cost, make_subject


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        pytest.param(0.5, 50.0, id="median"),
        pytest.param(0.99, 99.0, id="all but one"),
        pytest.param(0.991, 100.0, id="more than all but one"),
        pytest.param(1.0, 100.0, id="all"),
        pytest.param(0.0, 1.0, id="none"),
    ],
)
def test_a_percentile_is_the_smallest_value_that_the_share_is_not_over(share: float, expected: float) -> None:
    assert percentile([float(value) for value in range(100, 0, -1)], share) == expected


def test_a_percentile_of_one_value_is_that_value() -> None:
    assert waited([7.0]) == Waited(p50_ms=7.0, p99_ms=7.0)


def test_what_is_added_is_told_round_by_round_and_then_the_median_counts() -> None:
    with_picker = [Waited(p50_ms=3.0, p99_ms=9.0), Waited(p50_ms=12.0, p99_ms=20.0), Waited(p50_ms=2.0, p99_ms=5.0)]
    without = [Waited(p50_ms=1.0, p99_ms=4.0), Waited(p50_ms=11.0, p99_ms=18.0), Waited(p50_ms=1.5, p99_ms=4.5)]
    differences = added(with_picker, without)
    assert [one.p50_ms for one in differences] == [2.0, 1.0, 0.5]
    assert median_waited(differences) == Waited(p50_ms=1.0, p99_ms=2.0)


def test_a_ratio_to_the_echo_is_that_of_the_median_round() -> None:
    case = make_case("1 KB", make_subject("epp/hyper", 300, 900, 800), make_subject("echo/hyper", 200, 300, 400))
    assert case.of_echo("epp/hyper") == 2.0


def test_there_is_no_ratio_to_an_echo_that_did_not_run() -> None:
    case = make_case("1 KB", make_subject("epp/hyper", 300), make_subject("echo/grpcio", 300), make_subject("peer", 1))
    assert [case.of_echo(name) for name in ("epp/hyper", "echo/grpcio", "peer", "epp/other")] == [None] * 4


def test_a_chunk_costs_its_share_of_the_whole_answer() -> None:
    subject = make_subject("epp/hyper", 20_000, 30_000, 40_000)
    assert make_case("streamed", subject, chunks=1_000).chunk_us(subject) == 30.0
    assert make_case("at once", subject).chunk_us(subject) is None


def test_cpu_that_cannot_be_seen_has_no_ratio() -> None:
    assert make_cost(None).of_envoy is None
    assert make_subject("peer", None, 5.0).median(lambda cost: cost.picker_us) is None
    assert make_cost(300, 600).of_envoy == 0.5
