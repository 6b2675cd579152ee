"""Priorities and rewrites: whose come first, and how targets are drawn."""

import random
from collections import Counter
from typing import Any

import pytest

from epp.config import read_config
from epp.director.arrived import ArrivedRequest, Controls
from epp.director.policies import Policies, PolicySet, RewriteRule, Target, policies_of
from epp.plugin import Rejection
from epp.plugin.testing import make_endpoint
from tests.fakes.picker import director_and_metrics, value_of

DRAWS = 5000
HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"


def rule(*models: str, to: str) -> RewriteRule:
    return RewriteRule(frozenset(models), [Target(to)])


def policies(*rules: RewriteRule, **priorities: int) -> Policies:
    made = Policies(random.Random(0))
    made.use_cluster(PolicySet(priorities, rules))
    return made


def test_unknown_objective_is_of_priority_0() -> None:
    known = policies(batch=-1)
    assert [known.priority_of(name) for name in ("batch", "other", "")] == [-1, 0, 0]


def test_cluster_comes_before_the_file() -> None:
    known = policies(rule("m", to="cluster"), batch=-1)
    known.use_file(PolicySet({"batch": 5, "chat": 7}, [rule("m", to="file"), rule("n", to="file")]))
    assert [known.priority_of(name) for name in ("batch", "chat")] == [-1, 7]
    assert [known.target_of(model) for model in ("m", "n")] == ["cluster", "file"]


@pytest.mark.parametrize(
    ("rules", "model", "target"),
    [
        pytest.param([rule(to="any"), rule("m", to="exact")], "m", "exact", id="exact before generic"),
        pytest.param([rule("m", to="first"), rule("m", to="second")], "m", "first", id="first of two"),
        pytest.param([rule("m", "n", to="both")], "n", "both", id="one of several"),
        pytest.param([rule(to="any"), rule(to="other")], "m", "any", id="first generic"),
        pytest.param([rule("n", to="exact")], "m", "", id="none"),
        pytest.param([rule(to="any")], "", "", id="no model"),
    ],
)
def test_rule_that_counts(rules: list[RewriteRule], model: str, target: str) -> None:
    assert policies(*rules).target_of(model) == target


@pytest.mark.parametrize(
    ("weights", "shares"),
    [
        pytest.param([90, 10], [0.9, 0.1], id="canary"),
        pytest.param([None, None], [0.5, 0.5], id="no weights"),
        pytest.param([None, 3], [0.0, 1.0], id="one without beside one with"),
        pytest.param([0, 0], [0.5, 0.5], id="all 0"),
    ],
)
def test_targets_are_drawn_by_weight(weights: list[int | None], shares: list[float]) -> None:
    targets = [Target(str(number), weight) for number, weight in enumerate(weights)]
    known = policies(RewriteRule(frozenset(), targets))
    drawn = Counter(known.target_of("m") for _ in range(DRAWS))
    assert [drawn[target.model] / DRAWS for target in targets] == pytest.approx(shares, abs=0.02)


SECTIONS = """
inferenceObjectives:
- {name: batch, priority: -1}
modelRewrites:
- matches: [{model: {value: m}}]
  targets: [{modelRewrite: m-v1, weight: 90}, {modelRewrite: m-v2, weight: 10}]
- targets: [{modelRewrite: any}]
"""


def test_file_says_the_same_as_the_objects() -> None:
    config, problems = read_config(HEAD + SECTIONS)
    assert not problems
    assert policies_of(config) == PolicySet(
        {"batch": -1},
        [
            RewriteRule(frozenset({"m"}), [Target("m-v1", 90), Target("m-v2", 10)]),
            RewriteRule(frozenset(), [Target("any")]),
        ],
    )


def arrived(*, objective: str = "", rewrite: str = "") -> ArrivedRequest:
    head = {":path": "/v1/completions", ":method": "POST"}
    controls = Controls(model_rewrite=rewrite, objective=objective)
    return ArrivedRequest(head, b'{"model":"m", "prompt":"x"}', None, controls=controls)


async def test_rule_rewrites_and_a_header_overrides_it() -> None:
    director, metrics = director_and_metrics([make_endpoint()], policies=policies(rule("m", to="m-v2")))
    routed = await director.route(arrived())
    assert (routed.new_body, routed.request.model) == (b'{"model":"m-v2", "prompt":"x"}', "m-v2")
    assert (await director.route(arrived(rewrite="mine"))).request.model == "mine"
    assert (await director.route(arrived(rewrite="m"))).new_body is None
    assert value_of(metrics, "epp_model_rewrites_total", result="applied") == 2


FULL = {"waiting": 50, "running": 9, "kv_cache_ratio": 1.0}


@pytest.mark.parametrize(
    ("load", "priority", "is_refused"),
    [
        pytest.param(FULL, -1, True, id="full and sheddable"),
        pytest.param(FULL, 0, False, id="full and not sheddable"),
        pytest.param({"waiting": 0, "running": 0, "kv_cache_ratio": 0.1}, -1, False, id="idle"),
        pytest.param({"waiting": 5, "running": 9, "kv_cache_ratio": 0.0}, -1, True, id="queues at the threshold"),
        pytest.param({"waiting": 4, "running": 9, "kv_cache_ratio": 0.7}, -1, False, id="just below"),
    ],
)
async def test_full_pool_refuses_what_can_be_done_without(
    load: dict[str, Any],
    priority: int,
    is_refused: bool,  # noqa: FBT001 - a table
) -> None:
    director, _ = director_and_metrics([make_endpoint(**load)], policies=policies(o=priority))
    try:
        routed = await director.route(arrived(objective="o"))
    except Rejection as rejection:
        assert is_refused
        assert (rejection.refusal.status, rejection.reason) == (429, "rejected-saturated")
    else:
        assert not is_refused
        assert routed.request.priority == priority


async def test_detector_of_the_configuration_is_asked() -> None:
    text = HEAD + (
        "plugins: [{type: utilization-detector, name: strict, parameters: {queueDepthThreshold: 1}}]\n"
        "saturationDetector: {pluginRef: strict}\n"
    )
    director, _ = director_and_metrics([make_endpoint(waiting=1)], text=text, policies=policies(o=-1))
    with pytest.raises(Rejection):
        await director.route(arrived(objective="o"))
