"""Plugins are built from the configuration, and what only they can tell is reported with everything else."""

from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint

import pytest

from epp.assembled import Assembly
from epp.plugin import (
    Attribute,
    ConfigurationError,
    Endpoint,
    InferenceRequest,
    PluginContext,
    PluginParams,
    PrefixMatches,
    Problem,
    ProfileResult,
    read_duration,
)
from epp.plugin.scheduling import TABLE_COLUMNS
from epp.plugin.testing import make_endpoint, make_request
from epp.registry import Registry
from tests.fakes import virtual_time
from tests.fakes.picker import assembly_of

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"


class NeedsTheImpossible:
    def __init__(self, database: str) -> None:
        self.database = database

    def score(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> list[float]:
        raise AssertionError


class FailsToStart:
    def __init__(self) -> None:
        raise RuntimeError("no licence")


class FailsOverItsMode:
    """Raises as authors do who have not read much."""

    def __init__(self, context: PluginContext) -> None:
        raise ConfigurationError(f"mode of {context.name} is bad")


class Params(PluginParams):
    keep_for: str = "30s"
    friend: str = "nobody"


class KeepsFor:
    """Checks a parameter itself, and another one when all plugins are there."""

    def __init__(self, params: Params) -> None:
        self._friend = params.friend
        self._keep_for_s = read_duration(params.keep_for, "keepFor", at_least_s=1.0)

    def connect(self, plugins: Mapping[str, object]) -> None:
        raise ConfigurationError(Problem("friend", f"no plugin is named `{self._friend}`"))


class First(Attribute):
    pass


class Second(Attribute):
    pass


class MakesFirst:
    produces = (First,)
    consumes: Sequence[type[Attribute]] = ()

    def produce(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> None:
        request.attach(First())


class MakesSecondOfFirst:
    produces = (Second,)
    consumes = (First,)

    def produce(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> None:
        if request.attribute(First) is not None:
            request.attach(Second())


class MakesFirstOfSecond(MakesFirst):
    consumes = (Second,)


TEST_TYPES = {
    "makes-first": "MakesFirst",
    "makes-second-of-first": "MakesSecondOfFirst",
    "makes-first-of-second": "MakesFirstOfSecond",
    "needs-the-impossible": "NeedsTheImpossible",
    "fails-to-start": "FailsToStart",
    "fails-over-its-mode": "FailsOverItsMode",
    "keeps-for": "KeepsFor",
    "not-there": "NotThere",
    "helpful-scorer": "HelpfulScorer",
}


def build(text: str | None) -> Assembly:
    own = [EntryPoint(name, f"{__name__}:{value}", "epp.plugins") for name, value in TEST_TYPES.items()]
    assembly, _ = assembly_of(text, registry=Registry([*Registry.installed().types.values(), *own]))
    return assembly


def problems_of(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        build(text)
    return [str(problem) for problem in caught.value.problems]


def test_default_configuration_weighs_queue_2_kv_cache_2_prefix_3() -> None:
    (profile,) = build(None).profiles
    assert {one.name: one.weight for one in profile.scorers} == {
        "queue-scorer": 2,
        "kv-cache-utilization-scorer": 2,
        "prefix-cache-scorer": 3,
    }


def test_consumer_of_an_attribute_brings_its_default_producer() -> None:
    assert len(build(HEAD + "plugins: [{type: prefix-cache-scorer}]\n").producers) == 1
    assert len(build(HEAD + "plugins: [{type: queue-scorer}]\n").producers) == 0


def test_configured_producer_is_not_doubled() -> None:
    assembly = build(
        HEAD + "plugins: [{type: prefix-cache-scorer}, {type: approx-prefix-cache-producer, name: mine}]\n"
    )
    assert len(assembly.producers) == 1


async def test_producer_and_scorer_of_an_assembly_work_together() -> None:
    assembly = build(None)
    request, endpoint = make_request(prompts=[b"x" * 640]), make_endpoint()
    await assembly.producers[0].produce(request, [endpoint])
    decision = assembly.scheduler.schedule(request, [endpoint])
    assembly.observers.on_routed(request, decision)
    again = make_request(prompts=[b"x" * 640])
    await assembly.producers[0].produce(again, [endpoint])
    matches = again.attribute(PrefixMatches)
    assert matches is not None
    assert matches.ratio(endpoint) == 1.0


@pytest.mark.parametrize("name", sorted(TABLE_COLUMNS))
def test_only_a_scorer_may_not_be_named_like_a_column_of_the_decision_table(name: str) -> None:
    (problem,) = problems_of(HEAD + f"plugins: [{{type: max-score-picker}}, {{type: queue-scorer, name: {name}}}]\n")
    assert problem == f"plugins[1].name: `{name}` names a column of the decision table; take another name"
    (profile,) = build(HEAD + f"plugins: [{{type: header-based-testing-filter, name: {name}}}]\n").profiles
    assert [one.name for one in profile.filters] == [name]


def test_columns_that_are_no_scorers_are_those_of_the_table() -> None:
    result = ProfileResult(profile="p", candidates=[make_endpoint()], columns=[], totals=[0.0], picked=())
    assert set(result.table()[0]) == TABLE_COLUMNS


def test_profile_without_profiles_section_holds_all_plugins_in_order() -> None:
    (profile,) = build(HEAD + "plugins: [{type: queue-scorer}, {type: kv-cache-utilization-scorer}]\n").profiles
    assert [(one.name, one.weight) for one in profile.scorers] == [
        ("queue-scorer", 1.0),
        ("kv-cache-utilization-scorer", 1.0),
    ]


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


class HelpfulScorer:
    """A scorer with a helper that happens to be called like a part of a profile handler."""

    def score(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> list[float]:
        return [self.select(endpoint) for endpoint in candidates]

    def select(self, endpoint: Endpoint) -> float:
        return float(len(endpoint.name))


def test_plugin_is_only_what_it_has_all_methods_of() -> None:
    (profile,) = build(HEAD + "plugins: [{type: helpful-scorer}, {type: single-profile-handler}]\n").profiles
    assert [one.name for one in profile.scorers] == ["helpful-scorer"]


def test_plugin_that_is_named_like_a_default_type_does_not_hide_it() -> None:
    assembly = build(HEAD + "plugins: [{type: queue-scorer, name: max-score-picker}]\n")
    assert [one.name for one in assembly.profiles[0].scorers] == ["max-score-picker"]


def test_consumer_that_is_named_like_its_default_producer_still_gets_one() -> None:
    assembly = build(HEAD + "plugins: [{type: prefix-cache-scorer, name: approx-prefix-cache-producer}]\n")
    assert len(assembly.producers) == 1


def test_two_plugins_of_one_type_share_their_metrics() -> None:
    """And of two producers of one attribute nobody could tell whose is meant, so that is an error."""
    (problem,) = problems_of(
        HEAD + "plugins: [{type: approx-prefix-cache-producer}, {type: approx-prefix-cache-producer, name: b},"
        " {type: prefix-cache-scorer}]\n"
    )
    assert problem == (
        "plugins: PrefixMatches is produced by 2 plugins: ['approx-prefix-cache-producer', 'b']; "
        "all but one have to be named by whoever consumes from them"
    )


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


SOURCE = "{type: metrics-data-source, name: pages, parameters: {interval: 3s}}"


@pytest.mark.parametrize(
    "sources",
    [
        pytest.param("sources: [{pluginRef: pages, extractors: [{pluginRef: core-metrics-extractor}]}]", id="named"),
        pytest.param("sources: [{pluginRef: pages}]", id="named without an extractor"),
        pytest.param("", id="in the list of plugins alone"),
    ],
)
def test_configured_data_source_is_used(sources: str) -> None:
    text = f"plugins: [{SOURCE}, {{type: core-metrics-extractor}}]\ndataLayer: {{{sources}}}\n"
    assert build(HEAD + text).source.interval_s == 3.0


def test_data_source_is_added_where_there_is_none() -> None:
    assert build(HEAD).source.interval_s is None


def test_producer_runs_after_those_whose_attributes_it_consumes() -> None:
    producers = build(HEAD + "plugins: [{type: makes-second-of-first}, {type: makes-first}]\n").producers
    request = make_request()
    for producer in producers:
        virtual_time.run(producer.produce(request, [make_endpoint()]))
    assert request.attribute(Second) is not None


def test_producers_that_wait_for_each_other_are_named() -> None:
    (problem,) = problems_of(HEAD + "plugins: [{type: makes-second-of-first}, {type: makes-first-of-second}]\n")
    assert problem.startswith("plugins: these producers wait for each other: ")
    assert {"makes-second-of-first", "makes-first-of-second"} <= set(problem.split(": ")[2].split(" -> "))


def test_entry_without_effect_is_noted() -> None:
    text = "plugins: [{type: openai-parser}]\nschedulingProfiles: [{name: p, plugins: [{pluginRef: openai-parser}]}]\n"
    (note,) = build(HEAD + text).notes
    assert str(note) == (
        "schedulingProfiles[0].plugins[0].pluginRef: "
        "`openai-parser` is no filter, scorer or picker, so it does nothing in a profile"
    )


@pytest.mark.parametrize(
    ("text", "places"),
    [
        pytest.param("", [], id="nothing"),
        pytest.param("flowControl: {}\n", ["flowControl"], id="flow control that is switched off"),
        pytest.param("featureGates: [flowControl]\n", ["featureGates"], id="flow control that is on"),
        pytest.param("featureGates: [flowControl=true, flowControl=false]\n", [], id="the last gate counts"),
        pytest.param("featureGates: [haPopulateNonLeaderDatastore]\n", ["featureGates"], id="other gate"),
        pytest.param(
            "plugins: [{type: openai-parser}]\nparser: {pluginRef: openai-parser}\n", ["parser"], id="old place"
        ),
        pytest.param(
            "plugins: [{type: utilization-detector}]\n"
            "flowControl: {saturationDetector: {pluginRef: utilization-detector}}\n",
            ["flowControl"],
            id="detector",
        ),
    ],
)
def test_sections_without_effect_are_noted(text: str, places: list[str]) -> None:
    assert [note.path for note in build(HEAD + text).notes] == places
