"""Plugins are built from the configuration, and what only they can tell is reported with everything else."""

import pytest

from epp.plugin import (
    PrefixMatches,
    ProfileResult,
)
from epp.plugin.scheduling import TABLE_COLUMNS
from epp.plugin.testing import make_endpoint, make_request
from tests.fakes import virtual_time
from tests.fakes.assembling import HEAD, Second, build, problems_of


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
