import json

import pytest

from load.errors import LoadError
from load.seen import Seen, read_counters, require_seen

PAGE = """# HELP epp_requests_total Requests received.
# TYPE epp_requests_total counter
epp_requests_total{model="tiny"} 70.0
epp_requests_total{model="other"} 5.0
epp_picks_total{endpoint="127.0.0.1:80"} 40.0
epp_picks_total{endpoint="127.0.0.2:80"} 34.0
epp_request_errors_total{code="429",reason="queue_full"} 1.0
epp_requests_created{model="tiny"} 1.7e+09
"""


def stats(**values: int) -> str:
    rows: list[dict[str, object]] = [
        {"name": f"http.inference.ext_proc.{name}", "value": value} for name, value in values.items()
    ]
    return json.dumps({"stats": [*rows, {"histograms": {}}]})


def test_counters_come_from_envoy_and_from_the_pickers_page() -> None:
    read = read_counters(stats(streams_started=75, streams_failed=1, stream_msgs_sent=300), PAGE)
    assert read == Seen(streams=75, failed=1, messages=300, requests=75, picks=74, errors=1)


def test_a_picker_that_is_not_ours_has_no_counters_of_its_own() -> None:
    read = read_counters(stats(streams_started=75, stream_msgs_sent=300), "")
    assert (read.streams, read.requests, read.picks, read.errors) == (75, None, None, None)


def test_only_what_came_after_an_earlier_reading_counts() -> None:
    earlier = Seen(streams=10, messages=40, requests=10, picks=9, errors=1)
    later = Seen(streams=30, messages=120, requests=30, picks=29, errors=1)
    assert later.since(earlier) == Seen(streams=20, messages=80, requests=20, picks=20, errors=0)


def test_each_request_seen_once_is_what_is_required() -> None:
    require_seen(20, Seen(streams=20, requests=20, picks=20, errors=0))
    require_seen(20, Seen(streams=20))


@pytest.mark.parametrize(
    "counted",
    [
        pytest.param(Seen(streams=19), id="one was not asked about"),
        pytest.param(Seen(streams=20, requests=19, picks=20, errors=0), id="one did not reach the picker"),
        pytest.param(Seen(streams=20, requests=20, picks=19, errors=0), id="one was not routed"),
        pytest.param(Seen(streams=21, requests=20, picks=20, errors=0), id="one asked about twice"),
        pytest.param(Seen(streams=20, requests=20, picks=20, errors=1), id="the picker answered itself"),
        pytest.param(Seen(streams=20, failed=1), id="a stream failed"),
    ],
)
def test_anything_else_is_refused(counted: Seen) -> None:
    with pytest.raises(LoadError):
        require_seen(20, counted)


def test_a_client_that_stops_after_a_time_leaves_some_unfinished() -> None:
    require_seen(20, Seen(streams=36, requests=36, picks=35, errors=0), unfinished=16)
    with pytest.raises(LoadError):
        require_seen(20, Seen(streams=37), unfinished=16)
