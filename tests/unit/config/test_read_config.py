"""What is wrong with the shape of a configuration is found, all of it, with the path where it stands."""

import pytest

from epp.config import DEFAULT_CONFIG, check, read_config

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"


def problems_of(text: str) -> list[str]:
    config, problems = read_config(text)
    return [str(problem) for problem in check(config, problems)]


def test_default_configuration_has_no_problems() -> None:
    assert check(DEFAULT_CONFIG) == []


@pytest.mark.parametrize("version", ["llm-d.ai/v1alpha1", "inference.networking.x-k8s.io/v1alpha1"])
def test_both_api_versions_are_accepted(version: str) -> None:
    assert problems_of(f"apiVersion: {version}\nkind: EndpointPickerConfig\n") == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(
            HEAD + "plugin: []\n", "plugin: unknown field; did you mean `plugins`?", id="unknown field at the top"
        ),
        pytest.param(
            HEAD + "plugins: [{type: queue-scorer, parameter: {}}]\n",
            "plugins[0].parameter: unknown field; did you mean `parameters`?",
            id="unknown field in a list",
        ),
        pytest.param(
            HEAD + "plugins: {type: queue-scorer}\n", "plugins: must be a list, not a mapping", id="mapping for a list"
        ),
        pytest.param(
            HEAD + "plugins: [{type: 7}]\n", "plugins[0].type: expected `str`, got `int`", id="number for a string"
        ),
        pytest.param(HEAD + "plugins: [queue-scorer]\n", "plugins[0]: must be a mapping, not a string", id="bare name"),
        pytest.param(
            HEAD + "plugins: [{name: a, name: b, type: t}]\n",
            "not valid YAML: duplicate key `name` (line 3, column 21)",
            id="duplicate key",
        ),
        pytest.param(
            HEAD + 'plugins: [{type: t, name: "\\ud800"}]\n',
            "not valid YAML: half a character (line 3, column 27)",
            id="half a character",
        ),
        pytest.param(
            "a: [1", "not valid YAML: expected ',' or ']', but got '<stream end>' (line 1, column 6)", id="torn"
        ),
        pytest.param(HEAD + "plugins: [{name: a}]\n", "plugins[0].type: is required", id="no type"),
        pytest.param(
            HEAD + "featureGates: [flowcontrol]\n",
            "featureGates[0]: there is no gate `flowcontrol`; did you mean `flowControl`?",
            id="unknown gate",
        ),
        pytest.param(
            HEAD + "featureGates: [flowControl=yes]\n",
            "featureGates[0]: `flowControl=yes` must be a name, name=true or name=false",
            id="gate with another value",
        ),
        pytest.param(
            HEAD + "flowControl: {maxBytes: -1}\n",
            "flowControl.maxBytes: must be 0 or more, such as 5000, 1Gi or 100M, not `-1`",
            id="negative quantity",
        ),
        pytest.param(
            HEAD + "flowControl: {maxBytes: \u0665}\n",
            "flowControl.maxBytes: must be 0 or more, such as 5000, 1Gi or 100M, not `\u0665`",
            id="quantity in other digits",
        ),
        pytest.param(
            HEAD + "flowControl: {priorityBands: [{maxRequests: 5}]}\n",
            "flowControl.priorityBands[0].priority: is required",
            id="band without priority",
        ),
        pytest.param(
            HEAD + "flowControl: {priorityBands: [{priority: 1}, {priority: 1}]}\n",
            "flowControl.priorityBands[1].priority: another band has priority 1 already",
            id="two bands of one priority",
        ),
        pytest.param(
            HEAD + "flowControl: {defaultRequestTTL: soon}\n",
            "flowControl.defaultRequestTTL: `soon` is no duration; write it like 30s, 500ms or 1m30s",
            id="time that is none",
        ),
        pytest.param(
            HEAD + "flowControl: {usageLimitPolicyPluginRef: none}\n",
            "flowControl.usageLimitPolicyPluginRef: no plugin is named `none`",
            id="policy that is none",
        ),
        pytest.param(
            HEAD + "plugins: [{type: a}, {type: a}]\n",
            "plugins: plugin `a` stands 2 times (entries 0, 1); give each its own name",
            id="same name twice",
        ),
        pytest.param(
            HEAD + "schedulingProfiles: [{name: p, plugins: [{pluginRef: queue}]}]\nplugins: [{type: queue-scorer}]\n",
            "schedulingProfiles[0].plugins[0].pluginRef: no plugin is named `queue`; did you mean `queue-scorer`?",
            id="undefined reference",
        ),
        pytest.param(
            HEAD + "plugins: [{type: q}]\nschedulingProfiles: [{name: p, plugins: [{pluginRef: q, weight: -1}]}]\n",
            "schedulingProfiles[0].plugins[0].weight: must be from 0 to 1,000,000, not -1.0",
            id="negative weight",
        ),
        pytest.param(
            HEAD + "plugins: [{type: q}]\nschedulingProfiles: [{name: p, plugins: [{pluginRef: q, weight: .nan}]}]\n",
            "schedulingProfiles[0].plugins[0].weight: must be from 0 to 1,000,000, not nan",
            id="weight that is no number",
        ),
        pytest.param(
            HEAD + "schedulingProfiles: [{name: p}, {name: p}]\n",
            "schedulingProfiles: profile `p` stands 2 times (entries 0, 1); give each its own name",
            id="same profile twice",
        ),
        pytest.param(
            "kind: EndpointPickerConfig\napiVersion: v1\n",
            "apiVersion: must be `llm-d.ai/v1alpha1` or `inference.networking.x-k8s.io/v1alpha1`, not `v1`",
            id="other version",
        ),
    ],
)
def test_problem_is_named_with_its_path(text: str, problem: str) -> None:
    assert problems_of(text) == [problem]


def test_all_problems_are_found_at_once() -> None:
    text = """
apiVersion: v2
kind: EndpointPickerConfig
colour: blue
plugins:
  - type: queue-scorer
  - type: queue-scorer
  - name: 5
    type: max-score-picker
schedulingProfiles:
  - name: default
    plugins:
      - pluginRef: no-such-plugin
        weight: heavy
"""
    places = [problem.split(":")[0] for problem in problems_of(text)]
    assert sorted(places) == [
        "apiVersion",
        "colour",
        "plugins",
        "plugins[2].name",
        "schedulingProfiles[0].plugins[0].pluginRef",
        "schedulingProfiles[0].plugins[0].weight",
    ]


def test_json_is_read_too() -> None:
    assert problems_of('{"apiVersion": "llm-d.ai/v1alpha1", "kind": "EndpointPickerConfig"}') == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "7",
        "null",
        "? [a]\n: b",
        "&a [*a]",
        "\x00",
        "!!python/object:os.x {}",
        "a: 2024-99-99",
        "!!int abc",
        "[" * 5000,
    ],
)
def test_nonsense_is_a_problem_and_no_exception(text: str) -> None:
    assert problems_of(text)
