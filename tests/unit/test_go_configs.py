"""Configurations that operators of the Go pickers have: they load here, and decide."""

from pathlib import Path

import pytest

from epp.assembled import Assembly
from epp.plugin import Decision, Endpoint, InferenceRequest
from epp.plugin.testing import make_endpoint, make_request
from tests.fakes import virtual_time
from tests.fakes.picker import assembly_of

CONFIGS = Path(__file__).parents[1] / "go_configs"
POOL = [
    make_endpoint("decode-0", port=8000, labels={"llm-d.ai/role": "decode"}, waiting=3),
    make_endpoint("decode-1", port=8001, labels={"llm-d.ai/role": "decode"}),
    make_endpoint("prefill-0", port=8002, labels={"llm-d.ai/role": "prefill"}, waiting=2),
    make_endpoint("prefill-1", port=8003, labels={"llm-d.ai/role": "prefill"}),
]
WITHOUT_EFFECT = {
    "flow-control": {"flowControl", "saturationDetector"},
    "predicted-latency": {"schedulingProfiles[0].plugins[0].pluginRef"},
    "payload-agnostic": {"parser"},
}
"""What is said about a file when it is loaded: by its name, the places."""


def assembled(name: str) -> Assembly:
    return assembly_of((CONFIGS / f"{name}.yaml").read_text())[0]


def decide(assembly: Assembly, request: InferenceRequest, pool: list[Endpoint]) -> Decision:
    for producer in assembly.producers:
        virtual_time.run(producer.produce(request, pool))
    decision = assembly.scheduler.schedule(request, pool)
    assembly.observers.on_routed(request, decision)
    return decision


@pytest.mark.parametrize("name", sorted(path.stem for path in CONFIGS.glob("*.yaml")))
def test_configuration_of_the_go_pickers_loads_unchanged_and_decides(name: str) -> None:
    assembly = assembled(name)
    assert {note.path for note in assembly.notes} == WITHOUT_EFFECT.get(name, set())
    decision = decide(assembly, make_request(), POOL)
    assert decision.primary in POOL


@pytest.mark.parametrize("name", ["pd-disaggregation", "wide-ep", "wide-ep-dp-aware"])
def test_prompt_is_computed_by_one_endpoint_and_answered_by_another(name: str) -> None:
    decision = decide(assembled(name), make_request(prompts=[b"x" * 4000]), POOL)
    assert decision.primary.name.startswith("decode")
    assert decision.prefill is POOL[3]
    assert decision.headers == {"x-prefiller-host-port": "10.0.0.1:8003"}


def test_request_is_served_where_nobody_computes_prompts_for_others() -> None:
    decision = decide(assembled("pd-disaggregation"), make_request(), POOL[:2])
    assert decision.prefill is None
    assert decision.headers == {}


def test_tiers_have_an_index_each() -> None:
    assembly = assembled("tiered-prefix-cache")
    request = make_request(prompts=[b"y" * 4000])
    first = decide(assembly, request, POOL[:2]).primary
    again = decide(assembly, make_request(prompts=[b"y" * 4000]), POOL[:2])
    assert again.primary is first
    columns = {column.scorer: column.scores for column in again.results["default"].columns}
    assert columns["gpu-prefix-cache-scorer"] == columns["cpu-prefix-cache-scorer"]
    assert max(columns["cpu-prefix-cache-scorer"]) > 0.9
