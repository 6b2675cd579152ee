"""What a soak makes of what it has read."""

import dataclasses
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from soak.readings import Ending, EnvoyCounts, envoy_counts, metric_sum, read_endings
from soak.reloads import broken, config
from soak.servers import Kill
from soak.table import table
from soak.verdict import Picker, Report, Sample, faults, memory

from epp.assembled import Surroundings
from epp.assembly import assemble_text
from epp.observability import Metrics
from epp.plugin import ConfigurationError
from epp.plugin.testing import make_context

MB = 1_000_000
SERVER = "127.0.0.1:8101"
CRASH = Kill(SERVER, at_s=1000.0, back_at_s=1001.0)
CANCELLED = Ending(990.0, 0, is_answered=False, flags=frozenset({"DC"}), endpoint="", details="")
FAILED = Ending(1000.5, 503, is_answered=True, flags=frozenset({"UC"}), endpoint=SERVER, details="")
NO_STREAM_FAULTS = {"streams_failed": 0, "message_timeouts": 0}


def make_report(**changed: Any) -> Report:
    """Return a run without fault: 100 requests, one of them cancelled before its answer, one failed at a crash."""
    report = Report(
        transport="hyper",
        seconds=10.0,
        envoy=EnvoyCounts(100, {"2xx": 98, "3xx": 0, "4xx": 0, "5xx": 1}, 0, 100, NO_STREAM_FAULTS),
        picker=Picker(received=99, routed=99, streams=100, left_over={"open": 0}, reloads={"applied": 2, "refused": 1}),
        told={"timeout": 0, "connect": 0},
        left=1,
        endings=[CANCELLED, FAILED],
        restarts=4,
        kills=[CRASH],
        valid=2,
        broken=1,
        samples=[Sample(number, 80 * MB) for number in range(101)],
        descriptors=(20, 21),
        log=[line("config_refused", level="error")],
    )
    return dataclasses.replace(report, **changed)


def line(event: str, *, level: str = "warning", at: str = "00:16:40.5", port: int = 8101) -> Mapping[str, Any]:
    """Return a log line; the crash is at 00:16:40 of the first day of the epoch."""
    where = f"default/server-{port}"
    return {"event": event, "level": level, "endpoint": where, "timestamp": f"1970-01-01T{at}+00:00"}


def test_run_without_fault_passes() -> None:
    assert list(faults(make_report())) == []
    assert "| verdict | passed |" in table([make_report()])


REFUSED = line("config_refused", level="error")
COUNTS = make_report().envoy
PICKER = make_report().picker


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        pytest.param({"endings": [FAILED]}, "1 requests have no answer", id="lost"),
        pytest.param({"kills": []}, "failed that no crash explains", id="failed without a crash"),
        pytest.param(
            {"endings": [CANCELLED, dataclasses.replace(FAILED, ended_at_s=1003.0)]},
            "failed that no crash explains",
            id="failed long after a crash",
        ),
        pytest.param(
            {"endings": [CANCELLED, dataclasses.replace(FAILED, endpoint="127.0.0.1:8102")]},
            "failed that no crash explains",
            id="failed elsewhere",
        ),
        pytest.param({"envoy": dataclasses.replace(COUNTS, active=1)}, "1 requests are still open", id="open in Envoy"),
        pytest.param(
            {"envoy": dataclasses.replace(COUNTS, stream_faults={"streams_failed": 2})},
            "streams_failed: 2",
            id="streams failed",
        ),
        pytest.param(
            {"envoy": dataclasses.replace(COUNTS, answered={"2xx": 97, "3xx": 0, "4xx": 1, "5xx": 1})},
            "nobody expects",
            id="refused",
        ),
        pytest.param({"told": {"timeout": 1, "connect": 0}}, "timed out", id="client timed out"),
        pytest.param({"picker": dataclasses.replace(PICKER, streams=99)}, "the picker has ended 99", id="stream open"),
        pytest.param({"picker": dataclasses.replace(PICKER, routed=98)}, "99 answered <= 98 routed", id="not counted"),
        pytest.param({"picker": dataclasses.replace(PICKER, left_over={"held": 5})}, "held is 5", id="left over"),
        pytest.param({"valid": 3}, "3 valid and 1 broken files", id="not reloaded"),
        pytest.param({"log": []}, "named 0 times", id="refusal not logged"),
        pytest.param({"descriptors": (20, 25)}, "25 descriptors are open", id="descriptors leak"),
        pytest.param({"log": [REFUSED, line("session_failed")]}, "session_failed", id="error in the log"),
        pytest.param(
            {"log": [REFUSED, line("endpoint_unready", port=8102)]}, "endpoint_unready", id="unready without a crash"
        ),
        pytest.param(
            {"log": [REFUSED, line("endpoint_unready", at="00:16:44")]}, "endpoint_unready", id="unready after a crash"
        ),
        pytest.param(
            {"samples": [Sample(number, (80 + number) * MB) for number in range(101)]}, "memory grew by", id="leak"
        ),
    ],
)
def test_each_fault_is_named_alone(changed: dict[str, Any], said: str) -> None:
    (fault,) = faults(make_report(**changed))
    assert said in fault


def test_warnings_about_a_crash_are_expected() -> None:
    about = [line("endpoint_unready"), line("endpoint_ejected"), line("prefix_cache", at="00:16:42.9")]
    assert make_report(log=about).unexpected_lines == []


def test_memory_that_fills_up_at_first_is_flat() -> None:
    filling = [Sample(number, min(80, 40 + number) * MB) for number in range(101)]
    how = memory(filling)
    assert how.is_flat
    assert how.growth == 0
    assert how.slope == pytest.approx(0)
    assert len(how.tenths) == 10


def test_memory_grows_by_its_slope() -> None:
    how = memory([Sample(number * 1000, 80 * MB + number * 10_000) for number in range(101)])
    assert how.slope == pytest.approx(1 * MB)
    assert how.growth == pytest.approx(0.4 * MB, rel=0.1)
    assert how.is_flat


def test_run_that_is_too_short_says_nothing_of_memory() -> None:
    with pytest.raises(ValueError, match="too few samples"):
        memory([Sample(100, MB)])


def test_endings_are_read_from_the_access_log() -> None:
    log = (
        "1000.250 250 503 120 UC,URX 127.0.0.1:8101 upstream_reset_before_response_started{connection_termination}\n"
        "1001.000 0 0 0 DC - downstream_remote_disconnect\n"
        "1002.000 1 404 9 - 127.0.0.1:8101 via upstream\n"
    )
    failed, cancelled, refused = read_endings(log)
    assert (failed.ended_at_s, failed.status, failed.endpoint) == (1000.5, 503, SERVER)
    assert (failed.is_answered, failed.is_cancelled) == (True, False)
    assert (cancelled.is_answered, cancelled.is_cancelled, cancelled.endpoint) == (False, True, "")
    assert (refused.flags, refused.details) == (frozenset(), "via upstream")


def test_metric_is_the_sum_of_its_samples_and_of_no_other_metric() -> None:
    page = '# TYPE a gauge\na{x="1"} 2\na{x="2"} 3\nab 5\na_total 7\n'
    assert metric_sum(page, "a") == 5
    assert metric_sum(page, 'a{x="2"}') == 3
    assert metric_sum(page, "b") == 0


def test_counts_of_envoy_are_found_by_name() -> None:
    client, asking = "http.inference.downstream_rq_", "http.inference.ext_proc."
    names = [f"{client}{kind}" for kind in ("total", "2xx", "3xx", "4xx", "5xx", "active")]
    faults = ("streams_failed", "message_timeouts", "spurious_msgs_received", "failure_mode_allowed")
    names += [f"{asking}{kind}" for kind in ("streams_started", *faults)]
    counts = envoy_counts({name: number for number, name in enumerate(names)})
    assert (counts.begun, counts.answered["2xx"], counts.active, counts.streams_begun) == (0, 1, 5, 6)
    assert counts.stream_faults == dict(zip(faults, range(7, 11), strict=True))


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_each_configuration_is_another_one_and_only_broken_ones_are_refused(tmp_path: Path, number: int) -> None:
    pool = tmp_path / "pool.json"
    around = Surroundings(
        metrics=Metrics(CollectorRegistry()), log=make_context().log, random=random.Random(0), clock=lambda: 0.0
    )
    assemble_text(config(pool, number), around)
    with pytest.raises(ConfigurationError, match="no-such-scorer"):
        assemble_text(broken(pool, number), around)
    assert config(pool, number) != config(pool, number + 2)
