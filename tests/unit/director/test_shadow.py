"""A profile in the shadow sees what the decision saw, and decides nothing."""

import random

import pytest
from prometheus_client import CollectorRegistry

from epp.director.shadow import Shadow
from epp.observability import Metrics
from epp.plugin import ConfigurationError, Decision, Endpoint, PrefixMatches
from epp.plugin.testing import make_endpoint, make_request
from tests.fakes.picker import assembly_of, value_of

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
CONFIG = (
    HEAD
    + """
plugins:
  - {type: queue-scorer}
  - {type: prefix-cache-scorer}
  - {type: utilization-filter, parameters: {conditions: [{metric: waiting-queue, maxValue: 50}]}}
schedulingProfiles:
  - name: live
    plugins: [{pluginRef: queue-scorer}]
  - name: next
    plugins: [{pluginRef: utilization-filter}, {pluginRef: prefix-cache-scorer}]
shadow: {profileRef: next, sampleRatio: %s}
"""
)


def tried(pool: list[Endpoint], *, cached: Endpoint, ratio: float = 1.0, requests: int = 1) -> tuple[Decision, Metrics]:
    """Schedule requests and try the shadow on them; returns the last decision, and what was counted."""
    assembly, _ = assembly_of(CONFIG % ratio)
    assert assembly.shadow is not None
    metrics = Metrics(CollectorRegistry())
    shadow = Shadow(assembly.shadow.profile, assembly.shadow.sample_ratio, metrics=metrics, rng=random.Random(1))
    for _ in range(requests):
        request = make_request()
        request.attach(PrefixMatches(matched_tokens={cached: 700}, total_tokens=1000))
        decision = assembly.scheduler.schedule(request, pool)
        shadow.compare(request, pool, decision)
    return decision, metrics


def test_shadow_decides_nothing_and_is_counted() -> None:
    idle, busy = make_endpoint("idle"), make_endpoint("busy", waiting=2, running=1)
    decision, metrics = tried([idle, busy], cached=busy)
    assert decision.primary is idle
    assert list(decision.results) == ["live"]
    assert value_of(metrics, "epp_shadow_decisions_total", result="differs") == 1
    assert value_of(metrics, "epp_shadow_picks_total", by="shadow", endpoint="default/busy") == 1
    assert value_of(metrics, "epp_shadow_picks_total", by="live", endpoint="default/idle") == 1
    assert value_of(metrics, "epp_shadow_matched_tokens_total", by="shadow") == 700
    assert value_of(metrics, "epp_shadow_matched_tokens_total", by="live") == 0
    assert value_of(metrics, "epp_shadow_requests_met_total", by="shadow") == 3
    assert value_of(metrics, "epp_shadow_requests_met_total", by="live") == 0


def test_shadow_that_agrees() -> None:
    idle, busy = make_endpoint("idle"), make_endpoint("busy", waiting=2)
    _, metrics = tried([idle, busy], cached=idle)
    assert value_of(metrics, "epp_shadow_decisions_total", result="agrees") == 1


def test_shadow_that_would_refuse_a_request_does_not() -> None:
    full = make_endpoint("full", waiting=100)
    decision, metrics = tried([full], cached=full)
    assert decision.primary is full
    assert value_of(metrics, "epp_shadow_decisions_total", result="refused") == 1


def test_shadow_is_tried_on_a_sample() -> None:
    one = make_endpoint()
    _, metrics = tried([one], cached=one, ratio=0.25, requests=2000)
    assert value_of(metrics, "epp_shadow_decisions_total", result="agrees") == pytest.approx(500, abs=60)


@pytest.mark.parametrize(
    ("shadow", "problem"),
    [
        pytest.param(
            "{profileRef: nxt}", "shadow.profileRef: no profile is named `nxt`; did you mean `next`?", id="none"
        ),
        pytest.param("{}", "shadow.profileRef: is required", id="no name"),
        pytest.param(
            "{profileRef: next}",
            "shadow.profileRef: is the only profile, so none would be left to decide",
            id="only one",
        ),
        pytest.param(
            "{profileRef: next, sampleRatio: 2}", "shadow.sampleRatio: must be from 0 to 1, not 2.0", id="ratio"
        ),
    ],
)
def test_shadow_that_makes_no_sense_is_refused(shadow: str, problem: str) -> None:
    text = f"{HEAD}plugins: [{{type: queue-scorer}}]\nschedulingProfiles: [{{name: next}}]\nshadow: {shadow}\n"
    with pytest.raises(ConfigurationError) as caught:
        assembly_of(text)
    assert problem in [str(one) for one in caught.value.problems]
