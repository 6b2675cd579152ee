"""What the demo prints."""

import json

import pytest

from epp.demo.report import decision_line, summary
from epp.demo.traffic import Outcomes


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


def test_summary_counts_and_names_errors() -> None:
    outcomes = Outcomes(ttft_s=[0.1, 0.3], errors=["status 503"], served_by={"sim-1": 1, "sim-2": 1})
    text = summary(outcomes, 0.75)
    assert "2 requests, 1 errors" in text
    assert "sim-1 1, sim-2 1" in text
    assert "75%" in text
    assert "status 503" in text
