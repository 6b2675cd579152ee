"""What is wrong with plugins in a configuration is named, with its path, and all at once."""

import pytest

from tests.fakes.assembling import HEAD, problems_of


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(
            "plugins: [{type: queue-scorrer}]\n",
            "plugins[0].type: plugin type `queue-scorrer` is not installed; did you mean `queue-scorer`?",
            id="unknown type",
        ),
        pytest.param(
            "plugins: [{type: single-profile-handler, parameters: {a: 1}}]\n",
            "plugins[0].parameters: `single-profile-handler` takes no parameters",
            id="parameters for a plugin without",
        ),
        pytest.param(
            "plugins: [{type: approx-prefix-cache-producer, parameters: {blockSizeTokens: 0}}]\n",
            "plugins[0].parameters.blockSizeTokens: expected `int` >= 1",
            id="parameter out of range",
        ),
        pytest.param(
            "plugins: [{type: approx-prefix-cache-producer, parameters: {blockSizeToken: 16}}]\n",
            "plugins[0].parameters.blockSizeToken: unknown field; did you mean `blockSizeTokens`?",
            id="unknown parameter",
        ),
        pytest.param(
            "plugins: [{type: file-discovery}]\n", "plugins[0].parameters.path: is required", id="parameter missing"
        ),
        pytest.param(
            "plugins: [{type: models-data-source}]\n",
            "plugins[0].type: plugin type `models-data-source` of the Go pickers would fetch what no plugin here reads",
            id="type that is left out",
        ),
        pytest.param(
            "plugins: [{type: queue-scorer}]\nsaturationDetector: {pluginRef: queue-scorer}\n",
            "saturationDetector.pluginRef: `queue-scorer` is no saturation detector",
            id="detector that is none",
        ),
        pytest.param(
            "plugins: [{type: fcfs-ordering-policy}]\n"
            "flowControl: {priorityBands: [{priority: 1, fairnessPolicyRef: fcfs-ordering-policy}]}\n",
            "flowControl.priorityBands[0].fairnessPolicyRef: `fcfs-ordering-policy` is no fairness policy",
            id="policy of another kind",
        ),
        pytest.param(
            "plugins: [{type: prefix-cache-scorer, parameters: {producer: gone}}]\n",
            "plugins[0].parameters: no producer of PrefixMatches is named `gone`",
            id="producer that is none",
        ),
        pytest.param(
            "plugins: [{type: max-score-picker}, {type: random-picker}]\n"
            "schedulingProfiles: [{name: p, plugins: [{pluginRef: max-score-picker}, {pluginRef: random-picker}]}]\n",
            "schedulingProfiles[0].plugins: a profile has one picker, not 2: ['max-score-picker', 'random-picker']",
            id="two pickers",
        ),
        pytest.param(
            "schedulingProfiles: [{name: a}, {name: b}]\n",
            "schedulingProfiles: 2 profiles need a profile handler among the plugins to choose between them",
            id="two profiles without handler",
        ),
        pytest.param(
            "plugins: [{type: single-profile-handler}]\nschedulingProfiles: [{name: a}, {name: b}]\n",
            "schedulingProfiles: profile handler `single-profile-handler` runs 1 profile, "
            "so the other 1 would do nothing",
            id="two profiles for a handler of one",
        ),
        pytest.param(
            "plugins: [{type: single-profile-handler}, {type: single-profile-handler, name: two}]\n",
            "plugins: one profile handler is needed, not 2: ['single-profile-handler', 'two']",
            id="two handlers",
        ),
        pytest.param(
            "plugins: [{type: queue-scorer}]\nrequestHandler: {parsers: [{pluginRef: queue-scorer}]}\n",
            "requestHandler.parsers[0].pluginRef: `queue-scorer` is no parser",
            id="scorer as parser",
        ),
        pytest.param(
            "plugins: [{type: queue-scorer}]\ndataLayer: {discovery: {pluginRef: queue-scorer}}\n",
            "dataLayer.discovery.pluginRef: `queue-scorer` is no discovery",
            id="scorer as discovery",
        ),
        pytest.param(
            "plugins: [{type: queue-scorer}]\n"
            "dataLayer: {sources: [{pluginRef: queue-scorer, extractors: [{pluginRef: queue-scorer}]}]}\n",
            "dataLayer.sources[0].pluginRef: `queue-scorer` is no data source|"
            "dataLayer.sources[0].extractors[0].pluginRef: `queue-scorer` is no extractor",
            id="scorer as data source and extractor",
        ),
        pytest.param(
            "plugins: [{type: metrics-data-source}]\n"
            "dataLayer: {sources: [{pluginRef: metrics-data-source}, {pluginRef: metrics-data-source}]}\n",
            "dataLayer.sources: one source of load is needed, not 2",
            id="two data sources",
        ),
        pytest.param(
            "plugins: [{type: metrics-data-source}, {type: metrics-data-source, name: other}]\n",
            "dataLayer.sources: say which data source is used, of ['metrics-data-source', 'other']",
            id="two data sources and no word which",
        ),
        pytest.param(
            "dataLayer: {injectDefaults: false}\n",
            "dataLayer.sources: is needed where injectDefaults is false: nothing would tell which endpoints are ready",
            id="no data source",
        ),
        pytest.param(
            "plugins: [{type: metrics-data-source, parameters: {interval: 1ms}}]\n",
            "plugins[0].parameters.interval: must be 50ms or more",
            id="data source that asks too often",
        ),
        pytest.param(
            "plugins: [{type: metrics-data-source, parameters: {scheme: https, caCertPath: missing.pem}}]\n",
            "plugins[0].parameters.caCertPath: cannot be used: [Errno 2] No such file or directory",
            id="certificates that are not there",
        ),
        pytest.param(
            "plugins: [{type: metrics-data-source, parameters: {scheme: https, clientKeyPath: key.pem}}]\n",
            "plugins[0].parameters.clientKeyPath: needs clientCertPath beside it",
            id="key without certificate",
        ),
        pytest.param(
            "plugins: [{type: metrics-data-source, parameters: {tokenPath: missing}}]\n",
            "plugins[0].parameters.tokenPath: cannot be read: [Errno 2] No such file or directory: 'missing'",
            id="token that is not there",
        ),
        pytest.param(
            "plugins: [{type: fails-to-start}]\n",
            "plugins[0]: plugin type `fails-to-start` failed to start: RuntimeError('no licence')",
            id="constructor raises",
        ),
        pytest.param(
            "plugins: [{type: fails-over-its-mode, name: m}]\n",
            "plugins[0]: mode of m is bad",
            id="constructor refuses with a sentence",
        ),
        pytest.param(
            "plugins: [{type: keeps-for, parameters: {keepFor: soon}}]\n",
            "plugins[0].parameters.keepFor: `soon` is no duration; write it like 30s, 500ms or 1m30s",
            id="constructor refuses a parameter",
        ),
        pytest.param(
            "plugins: [{type: keeps-for}]\n",
            "plugins[0].parameters.friend: no plugin is named `nobody`",
            id="plugin refuses a parameter once all are there",
        ),
        pytest.param(
            "plugins: [{type: needs-the-impossible}]\n",
            "plugins[0]: constructor parameter `database` of `needs-the-impossible` must be annotated with "
            "PluginContext or a PluginParams struct, or have a default",
            id="constructor wants something else",
        ),
    ],
)
def test_problem_of_a_plugin_is_named_with_its_path(text: str, problem: str) -> None:
    assert problems_of(HEAD + text) == problem.split("|")


def test_type_whose_module_lacks_it_is_named() -> None:
    (problem,) = problems_of(HEAD + "plugins: [{type: not-there}]\n")
    assert problem.startswith("plugins[0].type: plugin type `not-there`")
    assert "cannot be loaded" in problem


def test_problems_of_shape_and_of_plugins_come_together() -> None:
    text = HEAD + "colour: blue\nplugins: [{type: nope}, {type: approx-prefix-cache-producer, parameters: {x: 1}}]\n"
    assert [problem.split(":")[0] for problem in problems_of(text)] == [
        "colour",
        "plugins[0].type",
        "plugins[1].parameters.x",
    ]
