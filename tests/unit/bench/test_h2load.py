import pytest

from load.errors import LoadError
from load.h2load import Answered, Timed, read_log, read_summary


def summary(*, total: int = 640, succeeded: int = 640, well: int = 640) -> str:
    return (
        "spawning thread #0: 16 total client(s). 640 total requests\n"
        "progress: 100% done\n\n"
        "finished in 1.25s, 512.34 req/s, 1.02MB/s\n"
        f"requests: {total} total, {total} started, {total} done, {succeeded} succeeded, {total - succeeded} failed, "
        "0 errored, 0 timeout\n"
        f"status codes: {well} 2xx, 0 3xx, 0 4xx, {total - well} 5xx\n"
        "traffic: 1.02MB (1049000) total\n"
    )


def test_a_summary_says_how_many_requests_were_answered_and_how_fast() -> None:
    assert read_summary(summary()) == Answered(640, 512.34)


@pytest.mark.parametrize(
    "printed",
    [
        pytest.param(summary(succeeded=639), id="one failed"),
        pytest.param(summary(well=600), id="forty are 5xx"),
        pytest.param(summary(total=0, succeeded=0, well=1), id="counts that do not fit"),
        pytest.param("Could not connect\n", id="no summary"),
    ],
)
def test_a_summary_of_anything_but_good_answers_is_refused(printed: str) -> None:
    with pytest.raises(LoadError):
        read_summary(printed)


def test_a_log_gives_milliseconds_for_each_request_and_their_rate() -> None:
    log = "1700000000000000\t200\t1500\n1700000000004000\t204\t250\n1700000000002000\t200\t3000\n"
    assert read_log(log) == Timed([1.5, 0.25, 3.0], 500.0)


@pytest.mark.parametrize("status", ["503", "-1"])
def test_a_log_with_a_request_that_was_not_answered_well_is_refused(status: str) -> None:
    with pytest.raises(LoadError, match="1 of 2"):
        read_log(f"1\t200\t5\n2\t{status}\t5\n")


def test_a_log_of_less_than_two_times_has_no_rate() -> None:
    with pytest.raises(LoadError, match="rate"):
        read_log("1700000000000000\t200\t1500\n")
