"""One configuration replaces another: what it does not change lives on."""

import pytest

from epp.live import LiveConfig
from epp.plugin import ConfigurationError, Decision, PrefixMatches
from epp.plugin.testing import make_endpoint, make_request
from epp.reloading import Changes
from tests.fakes import virtual_time
from tests.fakes.live import FIRST, PREFIX, QUEUE, live, page, text_of

A, B = make_endpoint("a"), make_endpoint("b", port=9000)
PROMPT = b"0123456789abcdef" * 400


def send(one: LiveConfig) -> float:
    """Send a prompt to an endpoint; returns how much of it was known there before."""
    request = make_request(prompts=[PROMPT])
    for producer in one.assembly.producers:
        virtual_time.run(producer.produce(request, [A, B]))
    matches = request.attribute(PrefixMatches)
    one.assembly.observers.on_routed(request, Decision(endpoints=[A]))
    return matches.ratio(A) if matches else 0.0


def test_prefix_index_survives_a_change_of_weights() -> None:
    one, _ = live()
    assert send(one) == 0.0
    changes = one.replace(text_of(QUEUE, PREFIX, weights={"queue-scorer": 1, "prefix-cache-scorer": 9}))
    assert changes == Changes(profiles=["default: queue-scorer 2 -> 1", "default: prefix-cache-scorer 3 -> 9"])
    assert {scorer.name: scorer.weight for scorer in one.assembly.profiles[0].scorers}["prefix-cache-scorer"] == 9
    assert send(one) > 0.9


def test_plugin_whose_parameters_change_is_a_new_one() -> None:
    one, _ = live()
    send(one)
    producer = {"type": "approx-prefix-cache-producer", "parameters": {"blockSizeTokens": 64}}
    changes = one.replace(text_of(QUEUE, PREFIX, producer, weights={"queue-scorer": 2, "prefix-cache-scorer": 3}))
    assert changes.changed == ["approx-prefix-cache-producer"]
    assert send(one) == 0.0


def test_broken_configuration_changes_nothing() -> None:
    one, metrics = live()
    send(one)
    before, exported = one.assembly, page(metrics)
    producer = {"type": "approx-prefix-cache-producer", "parameters": {"blockSizeTokens": 64}}
    with pytest.raises(ConfigurationError, match="plugin type `queue-scorers` is not installed"):
        one.replace(text_of({"type": "queue-scorers"}, producer, weights={}))
    assert one.assembly is before
    assert page(metrics) == exported
    assert send(one) > 0.9


def test_plugin_that_is_gone_exports_nothing_any_more() -> None:
    one, metrics = live()
    one.on_scraped(A)
    labels = {"plugin": "approx-prefix-cache-producer"}
    sample = metrics.registry.get_sample_value
    assert sample("epp_prefix_index_entries", labels) == 0
    assert sample("epp_prefix_capacity_blocks", labels | {"endpoint": A.key}) is not None
    changes = one.replace(text_of(QUEUE, weights={"queue-scorer": 1}))
    assert changes.removed == ["approx-prefix-cache-producer", "prefix-cache-scorer"]
    assert sample("epp_prefix_index_entries", labels) is None
    assert sample("epp_prefix_capacity_blocks", labels | {"endpoint": A.key}) is None


def test_plugin_of_another_type_under_the_same_name_leaves_nothing_of_the_old_one() -> None:
    one, metrics = live()
    labels = {"plugin": "matches"}
    sample = metrics.registry.get_sample_value
    for kind, entries in (("approx-prefix-cache-producer", 0), ("inflight-load-producer", None)):
        producer = {"type": kind, "name": "matches"}
        one.replace(text_of(QUEUE, PREFIX, producer, weights={"queue-scorer": 2, "prefix-cache-scorer": 3}))
        assert sample("epp_prefix_index_entries", labels) == entries


def test_source_of_load_cannot_be_replaced_and_that_is_said() -> None:
    one, _ = live()
    source = {"type": "metrics-data-source", "parameters": {"path": "/other"}}
    changes = one.replace(text_of(QUEUE, PREFIX, source, weights={"queue-scorer": 2, "prefix-cache-scorer": 3}))
    assert changes == Changes(needs_restart=["dataLayer: metrics-data-source"])
    assert one.replace(FIRST) == Changes()


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        pytest.param(FIRST, "# a comment\n" + FIRST, Changes(is_alike=True), id="comment"),
        pytest.param(
            FIRST,
            FIRST + "featureGates: [flowControl]\nflowControl: {}\n",
            Changes(sections=['featureGates: [] -> ["flowControl"]', "flowControl: added"]),
            id="new sections",
        ),
        pytest.param(
            FIRST + "flowControl: {maxBytes: 1Gi, priorityBands: [{priority: 1}]}\n",
            FIRST + "flowControl: {maxBytes: 2Gi, priorityBands: [{priority: 2}], enableEviction: true}\n",
            Changes(
                sections=[
                    'flowControl.maxBytes: "1Gi" -> "2Gi"',
                    "flowControl.priorityBands: changed",
                    "flowControl.enableEviction: false -> true",
                ]
            ),
            id="what stands in a section",
        ),
        pytest.param(FIRST + "flowControl: {}\n", FIRST, Changes(sections=["flowControl: removed"]), id="no section"),
        pytest.param(
            FIRST,
            FIRST + "- {name: next, plugins: []}\nshadow: {profileRef: next}\n",
            Changes(profiles=["next: added"], sections=["shadow: added"]),
            id="new profile in the shadow",
        ),
        pytest.param(
            FIRST + "- {name: next, plugins: []}\nshadow: {profileRef: next}\n",
            FIRST + "- {name: next, plugins: []}\nshadow: {profileRef: next, sampleRatio: 0.5}\n",
            Changes(sections=["shadow.sampleRatio: 0.1 -> 0.5"]),
            id="more in the shadow",
        ),
        pytest.param(
            text_of(QUEUE, PREFIX, weights={"queue-scorer": 2}),
            text_of(QUEUE, PREFIX, weights={"prefix-cache-scorer": 3}),
            Changes(profiles=["default: prefix-cache-scorer added with weight 3", "default: queue-scorer removed"]),
            id="entries of a profile",
        ),
        pytest.param(
            FIRST,
            text_of(PREFIX, QUEUE, weights={"prefix-cache-scorer": 3, "queue-scorer": 2}),
            Changes(profiles=["default: order of its plugins"], sections=["plugins: order"]),
            id="order",
        ),
        pytest.param(
            FIRST,
            text_of(QUEUE, PREFIX, weights={"queue-scorer": 2}),
            Changes(profiles=["default: prefix-cache-scorer removed"]),
            id="entry that is gone",
        ),
    ],
)
def test_what_has_changed_is_told_in_words(before: str, after: str, changes: Changes) -> None:
    one, _ = live()
    one.replace(before)
    assert one.replace(after) == changes


def test_plugins_in_use_are_told_of_the_pool() -> None:
    one, _ = live()
    send(one)
    one.replace(text_of(QUEUE, PREFIX, weights={"queue-scorer": 1, "prefix-cache-scorer": 9}))
    one.on_removed(A)
    assert send(one) == 0.0
