import pytest

from load.errors import LoadError
from load.wrk import read_summary

GOOD = (
    "Running 10s test @ http://127.0.0.1:1/\n  1 threads and 16 connections\n  8190 requests in 10.03s, 1.52MB read\n"
)


def test_a_summary_says_how_many_requests_were_answered() -> None:
    assert read_summary(GOOD) == 8190


@pytest.mark.parametrize(
    "printed",
    [
        pytest.param(GOOD + "  Non-2xx or 3xx responses: 3\n", id="other statuses"),
        pytest.param(GOOD + "  Socket errors: connect 0, read 2, write 0, timeout 0\n", id="socket errors"),
        pytest.param("unable to connect\n", id="no summary"),
    ],
)
def test_a_summary_of_anything_but_good_answers_is_refused(printed: str) -> None:
    with pytest.raises(LoadError):
        read_summary(printed)
