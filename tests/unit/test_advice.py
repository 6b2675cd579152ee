"""What is valid in a configuration and will hurt all the same is said, with its place."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from epp.checking import check_text
from epp.config.notes import NOBODY_WAITS
from epp.config.places import Place, Places

PAGE = (Path(__file__).parents[1] / "data" / "vllm-0.32-metrics.txt").read_bytes()


def config(*plugins: dict[str, Any], **weights: float | None) -> str:
    entries = [
        {"pluginRef": name.replace("_", "-")} | ({} if weight is None else {"weight": weight})
        for name, weight in weights.items()
    ]
    document = {
        "apiVersion": "llm-d.ai/v1alpha1",
        "kind": "EndpointPickerConfig",
        "plugins": list(plugins),
        "schedulingProfiles": [{"name": "p", "plugins": entries}],
    }
    return yaml.safe_dump(document, sort_keys=False)


def advice(text: str, page: bytes | None = None) -> list[str]:
    report = check_text(text, page)
    assert not report.errors
    return [f"{finding.path}: {finding.message}" for finding in report.advice]


QUEUE, PREFIX, KV = ({"type": f"{name}-scorer"} for name in ("queue", "prefix-cache", "kv-cache-utilization"))
HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
HERE = "schedulingProfiles[0]"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(config(QUEUE, PREFIX, queue_scorer=2, prefix_cache_scorer=3), [], id="nothing to say"),
        pytest.param(
            config({"type": "random-picker"}, random_picker=None),
            [f"{HERE}: has no scorer, so its picker chooses among equals"],
            id="no scorer",
        ),
        pytest.param(
            config(PREFIX, prefix_cache_scorer=1),
            [f"{HERE}: has no scorer that rates load, so a busy endpoint gets as much as an idle one"],
            id="no load",
        ),
        pytest.param(
            config(QUEUE, PREFIX, queue_scorer=0, prefix_cache_scorer=1),
            [
                f"{HERE}: has no scorer that rates load, so a busy endpoint gets as much as an idle one",
                f"{HERE}: `prefix-cache-scorer` has 100% of all weight and decides alone",
                f"{HERE}.plugins[0].weight: is 0, so this scorer has no say",
            ],
            id="load without a say",
        ),
        pytest.param(
            config(QUEUE, PREFIX, queue_scorer=1, prefix_cache_scorer=19),
            [f"{HERE}: `prefix-cache-scorer` has 95% of all weight and decides alone"],
            id="one side",
        ),
        pytest.param(
            config(QUEUE, {"type": "max-score-picker"}, queue_scorer=1, max_score_picker=2),
            [f"{HERE}.plugins[1].weight: has no effect: only scorers have a weight"],
            id="weight of a picker",
        ),
        pytest.param(
            config(QUEUE, KV, queue_scorer=1),
            ["plugins[1]: `kv-cache-utilization-scorer` is a scorer that no profile names, so it does nothing"],
            id="scorer that no profile names",
        ),
        pytest.param(
            config(QUEUE, {"type": "max-score-picker"}, {"type": "random-picker"}, queue_scorer=1),
            [
                (
                    "plugins[2]: `random-picker` is a picker that no profile names, so it does nothing: "
                    "`max-score-picker` is the first, which profiles without a picker take"
                )
            ],
            id="second picker that no profile names",
        ),
        pytest.param(
            config(QUEUE, {"type": "max-score-picker"}, {"type": "random-picker"}, queue_scorer=1, random_picker=None),
            ["plugins[1]: `max-score-picker` is a picker that no profile names, so it does nothing"],
            id="picker where each profile names another",
        ),
        pytest.param(
            HEAD,
            [": there is no profile, and the one of all plugins has no scorer, so its picker chooses among equals"],
            id="nothing",
        ),
        pytest.param(
            HEAD + "plugins: [{type: prefix-cache-scorer}]",
            [
                (
                    "plugins: there is no profile, and the one of all plugins has no scorer that rates load, so a busy "
                    "endpoint gets as much as an idle one"
                )
            ],
            id="no load in the profile of all plugins",
        ),
        pytest.param(HEAD + "plugins: [{type: queue-scorer}]", [], id="nothing to say of the profile of all plugins"),
        pytest.param(
            config(QUEUE, queue_scorer=1)
            + "- {name: next, plugins: [{pluginRef: queue-scorer}]}\nshadow: {profileRef: next, sampleRatio: 0}",
            ["shadow.sampleRatio: is 0, so the profile `next` is tried on no request"],
            id="shadow of nothing",
        ),
        pytest.param(
            HEAD + "plugins: [{type: queue-scorer}]\nfeatureGates: [flowControl]",
            [f"featureGates: `flowControl` has no effect: {NOBODY_WAITS}"],
            id="gate without its section",
        ),
        pytest.param(
            HEAD + "plugins: [{type: queue-scorer}]\nfeatureGates: [flowControl]\nflowControl: {}",
            [f"flowControl: is checked and has no effect: {NOBODY_WAITS}"],
            id="gate with its section",
        ),
        pytest.param(
            config(
                QUEUE,
                {"type": "prefix-cache-affinity-filter", "parameters": {"maxTTFTPenaltyMs": 0}},
                prefix_cache_affinity_filter=None,
                queue_scorer=1,
            ),
            ["plugins[1].parameters.maxTTFTPenaltyMs: is 0: requests stick to an endpoint however long its queue is"],
            id="sticky without a limit",
        ),
    ],
)
def test_advice(text: str, expected: list[str]) -> None:
    assert advice(text) == expected


def test_scorer_of_what_an_engine_does_not_export_is_named() -> None:
    weights = {"queue_scorer": 1, "kv_cache_utilization_scorer": 1, "lora_affinity_scorer": 1}
    text = config(QUEUE, KV, {"type": "lora-affinity-scorer"}, **weights)
    assert advice(text, PAGE) == ["plugins[2]: rates adapters, which the engine's metrics page does not say"]
    without_queue = b"".join(line + b"\n" for line in PAGE.splitlines() if b"num_requests_waiting" not in line)
    assert advice(text, without_queue)[0] == "plugins[0]: rates waiting, which the engine's metrics page does not say"


def test_blocks_that_do_not_fit_together_with_the_engines_are_named() -> None:
    producer = {"type": "approx-prefix-cache-producer", "parameters": {"autoTune": False, "blockSizeTokens": 40}}
    text = config(producer, QUEUE, PREFIX, queue_scorer=2, prefix_cache_scorer=3)
    (one,) = advice(text, PAGE)  # whose blocks have 128
    where, what = one.split(": ", 1)
    assert where == "plugins[0].parameters.blockSizeTokens"
    assert what == "is 40, but the engine's blocks have 128 tokens: matches end where it has none"


def test_memory_is_estimated() -> None:
    producer = {"type": "approx-prefix-cache-producer", "parameters": {"maxIndexBytes": 2**20}}
    assert check_text(config(producer, QUEUE, PREFIX, queue_scorer=2, prefix_cache_scorer=3)).memory_bytes == 2**20


TEXT = """
plugins:
  - type: a
    parameters: {path: x}
  - {type: b}
"""


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("plugins", Place(2, 1)),
        ("plugins[0]", Place(3, 5)),
        ("plugins[0].parameters.path", Place(4, 18)),
        ("plugins[0].parameters.gone.too[3]", Place(4, 5)),
        ("plugins[1].type", Place(5, 6)),
        ("plugins[7]", Place(2, 1)),
        ("schedulingProfiles", Place(2, 1)),
        ("", Place(2, 1)),
    ],
)
def test_places(path: str, place: Place) -> None:
    assert Places(TEXT).of(path) == place


@pytest.mark.parametrize("text", ["", "a: [1", "\t- x", "a: 2024-99-99"])
def test_text_without_places_has_none_or_the_nearest(text: str) -> None:
    assert Places(text).of("plugins[0]") in {None, Place(1, 1)}
