"""Every installed type loads, and scorers rate by the formulas of the reference, with its values."""

from typing import Any

import pytest
from msgspec.structs import replace

from epp.plugin import Adapters, Endpoint, Load, PrefixMatches
from epp.plugin.testing import make_endpoint, make_request
from tests.fakes.catalogue import BUILT_IN, assembled, kept, labelled, plugin, pool, scores

UNKNOWN = Load()


@pytest.mark.parametrize("kind", sorted(BUILT_IN))
def test_every_type_loads(kind: str) -> None:
    assert kind in assembled(plugin(kind)).built


@pytest.mark.parametrize(
    "kind", sorted(name for name in BUILT_IN if "scorer" in name or name == "context-length-aware")
)
@pytest.mark.parametrize(
    "candidates",
    [
        pytest.param(pool(1), id="one candidate"),
        pytest.param(pool(3), id="all equal"),
        pytest.param([Endpoint(one.spec, load=UNKNOWN, ready=True) for one in pool(3)], id="nothing is known of them"),
        pytest.param(
            [Endpoint(one.spec, load=replace(one.load, kv_cache_ratio=float("nan")), ready=True) for one in pool(2)],
            id="no numbers",
        ),
    ],
)
def test_every_scorer_bears_with_any_endpoints(kind: str, candidates: list[Endpoint]) -> None:
    rated = scores(kind, candidates)
    assert len(rated) == len(candidates)
    assert all(0 <= score <= 1 for score in rated)


ADAPTERS = Adapters(running=frozenset({"a"}), waiting=frozenset({"w"}), max_loaded=2)


@pytest.mark.parametrize(
    ("model", "adapters", "score"),
    [
        pytest.param("a", ADAPTERS, 1.0, id="running"),
        pytest.param("new", replace(ADAPTERS, max_loaded=3), 0.8, id="room"),
        pytest.param("w", ADAPTERS, 0.6, id="waiting"),
        pytest.param("new", ADAPTERS, 0.0, id="neither"),
        pytest.param("w", replace(ADAPTERS, max_loaded=3), 0.8, id="room before waiting"),
        pytest.param("a", None, 0.0, id="no adapters"),
    ],
)
def test_lora_affinity(model: str, adapters: Adapters | None, score: float) -> None:
    one = make_endpoint()
    one.load = replace(one.load, adapters=adapters)
    assert scores("lora-affinity-scorer", [one], make_request(model=model)) == [score]


def test_adapter_that_ran_there_last_is_taken_to_be_loaded_still() -> None:
    assembly = assembled(plugin("lora-affinity-scorer"))
    (profile,) = assembly.profiles
    one = make_endpoint()
    for running in ({"a"}, {"b"}, {"c"}):
        one.scraped = one.load = replace(one.load, adapters=Adapters(running=frozenset(running), max_loaded=2))
        assembly.observers.on_scraped(one)
    one.load = replace(one.load, adapters=Adapters(running=frozenset({"c", "x"}), max_loaded=2))
    rate = profile.scorers[0].scorer.score
    assert [rate(make_request(model=model), [one])[0] for model in ("a", "b", "c")] == [0.0, 0.9, 1.0]
    assembly.observers.on_endpoint_lost(one)
    assert rate(make_request(model="b"), [one]) == [0.0]


@pytest.mark.parametrize(
    ("label", "score"),
    [
        pytest.param(None, 0.5, id="no label"),
        pytest.param("many", 0.0, id="label that makes no sense"),
        pytest.param("100-50", 0.0, id="range upside down"),
        pytest.param("1000-1000", 1.0, id="range of one length"),
        pytest.param("0-2000", round(0.3 + 0.7 * (0.7 / 1.2 + 0.3 * 0.5), 4), id="in the middle of it"),
        pytest.param("2000-3000", 0.15, id="a thousand tokens outside"),
    ],
)
def test_context_length_aware(label: str | None, score: float) -> None:
    request = make_request(prompts=[b"x" * 4000])
    assert scores("context-length-aware", labelled(label, label="llm-d.ai/context-length-range"), request) == [score]


def test_context_length_filter_keeps_the_ranges_that_a_prompt_is_in_unless_there_is_none() -> None:
    endpoints = labelled("0-500", "501-2000", None, "x", label="llm-d.ai/context-length-range")
    request = make_request(prompts=[b"x" * 4000])
    assert kept("context-length-aware", endpoints, request, enableFiltering=True) == ["pod-1", "pod-2"]
    assert kept("context-length-aware", endpoints[:1], request, enableFiltering=True) == ["pod-0"]
    assert len(kept("context-length-aware", endpoints, request)) == 4


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        pytest.param({"type": "linear_lower_is_better"}, [1.0, 0.5, 0.0], id="lower, adaptive"),
        pytest.param({"type": "linear_higher_is_better"}, [0.0, 0.5, 1.0], id="higher, adaptive"),
        pytest.param(
            {"type": "linear_lower_is_better", "normalization": {"fixedRange": {"min": 2, "max": 10}}},
            [1.0, 0.75, 0.25],
            id="fixed",
        ),
        pytest.param(
            {"type": "linear_lower_is_better", "normalization": {"fixedRange": {"min": 2, "max": 2}}},
            [1.0, 1.0, 1.0],
            id="no range",
        ),
    ],
)
def test_endpoint_attribute_scorer(algorithm: dict[str, Any], expected: list[float]) -> None:
    endpoints = [make_endpoint(waiting=waiting) for waiting in (0, 4, 8)]
    assert scores("endpoint-attribute-scorer", endpoints, algorithm=algorithm) == expected


def test_endpoint_attributes_may_be_custom_metrics_and_missing() -> None:
    known, unknown = pool(2)
    known.load = replace(known.load, custom={"Temperature": 70.0})
    algorithm = {"type": "linear_lower_is_better"}
    assert scores("endpoint-attribute-scorer", [known, unknown], attributeKey="Temperature", algorithm=algorithm) == [
        1,
        0,
    ]
    hot: dict[str, Any] = {"attribute": "Temperature", "algorithm": {"operator": "GreaterThan", "threshold": 80}}
    assert kept("endpoint-attribute-filter", [known, unknown], **hot) == ["pod-1"]
    assert kept("endpoint-attribute-filter", [known, unknown], **hot, onMissing="Fail") == []
    assert len(kept("endpoint-attribute-filter", [known, unknown], **hot, onMissing="Fail", fallbackOnEmpty=True)) == 2


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("LessThan", [True, False, False]),
        ("LessThanOrEqual", [True, True, False]),
        ("GreaterThan", [False, False, True]),
        ("GreaterThanOrEqual", [False, True, True]),
        ("Equal", [False, True, False]),
        ("NotEqual", [True, False, True]),
    ],
)
def test_endpoint_attribute_filter(operator: str, expected: list[bool]) -> None:
    endpoints = [make_endpoint(f"pod-{waiting}", waiting=waiting) for waiting in (1, 2, 3)]
    names = kept("endpoint-attribute-filter", endpoints, algorithm={"operator": operator, "threshold": 2})
    assert [endpoint.name in names for endpoint in endpoints] == expected


def test_header_label_affinity() -> None:
    endpoints = labelled("a", "b", None, label="zone")
    assert scores("header-label-affinity-scorer", endpoints, make_request(head={"x-zone": "b"})) == [0, 1, 0]
    assert scores("header-label-affinity-scorer", endpoints) == [0, 0, 0]


def test_least_tokens_and_lmetric() -> None:
    cached, idle, busy = pool(3)
    cached.load = replace(cached.load, running=3)
    busy.in_flight = replace(busy.in_flight, requests=1, uncached_tokens=600)
    request = make_request(prompts=[b"x" * 4000])
    request.attach(PrefixMatches(matched_tokens={cached: 800}, total_tokens=1000))
    assert scores("least-tokens-scorer", [cached, idle, busy], request) == [1.0, round(600 / 1400, 4), 0.0]
    # 200 tokens x 4 requests, 1000 x 1, 1600 x 1
    assert scores("lmetric-scorer", [cached, idle, busy], request) == [1.0, round(600 / 800, 4), 0.0]
