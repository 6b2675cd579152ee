"""What the demo prints."""

import json

import pytest

from epp.demo.report import decision_line, summary
from epp.demo.traffic import Outcome


@pytest.mark.parametrize(
    ("event", "line"),
    [
        pytest.param(
            {
                "event": "request_routed",
                "path": "/v1/completions",
                "endpoint": "default/a",
                "decision_ms": 0.25,
                "prefix_match_ratio": 0.5,
            },
            "/v1/completions        -> default/a                  0.25 ms  prefix  50%",
            id="decision",
        ),
        pytest.param(
            {"event": "request_routed", "path": "/v1/models", "endpoint": "default/a", "decision_ms": 1},
            "/v1/models             -> default/a                  1.00 ms",
            id="decision without a prompt",
        ),
        pytest.param(
            {"event": "request_rejected", "path": "/v1/completions", "status": 400, "message": "no model"},
            "/v1/completions        -> 400: no model",
            id="rejection",
        ),
        pytest.param(
            {"event": "endpoint_unready", "endpoint": "default/a", "reason": "refused", "level": "warning"},
            "endpoint unready: default/a (refused)",
            id="endpoint",
        ),
        pytest.param({"event": "oops", "level": "error", "why": "x"}, "event=oops why=x", id="error"),
        pytest.param({"event": "serving", "level": "info"}, None, id="no news"),
    ],
)
def test_line_of_the_log_is_shown_for_people(event: dict[str, object], line: str | None) -> None:
    assert decision_line(json.dumps(event)) == line


def test_line_that_is_no_event_is_shown_as_it_is() -> None:
    assert decision_line("Traceback") == "Traceback"


def test_summary_adds_up_and_names_errors() -> None:
    outcomes = [
        Outcome("sim-1", 0.1),
        Outcome("sim-2", 0.3),
        Outcome("sim-2", 0.2),
        Outcome("", 9.0, error="status 503: nobody"),
    ]
    assert summary(outcomes, 0.75).splitlines() == [
        "",
        "4 requests, 1 errors",
        "served by: sim-1 1, sim-2 2",
        "time to first byte: median 200 ms, p95 300 ms",
        "prompt tokens found in the servers' prefix caches: 75%",
        "status 503: nobody",
    ]


def test_summary_of_nothing_but_errors_claims_nothing() -> None:
    assert summary([Outcome("", 1.0, error="no route")], 0.0).splitlines() == ["", "1 requests, 1 errors", "no route"]
