"""One configuration replaces another: what it does not change lives on."""

from typing import Any

import pytest
import yaml

from epp.assembled import Surroundings
from epp.live import LiveConfig
from epp.observability import Metrics
from epp.plugin import ConfigurationError, Decision, PrefixMatches
from epp.plugin.testing import make_context, make_endpoint, make_request
from epp.settings import Settings
from tests.fakes import virtual_time

A, B = make_endpoint("a"), make_endpoint("b", port=9000)
PROMPT = b"0123456789abcdef" * 400


def text_of(*plugins: dict[str, Any], weights: dict[str, float]) -> str:
    entries = [{"pluginRef": name, "weight": weight} for name, weight in weights.items()]
    return yaml.safe_dump(
        {
            "apiVersion": "llm-d.ai/v1alpha1",
            "kind": "EndpointPickerConfig",
            "plugins": list(plugins),
            "schedulingProfiles": [{"name": "default", "plugins": entries}],
        }
    )


QUEUE, PREFIX = {"type": "queue-scorer"}, {"type": "prefix-cache-scorer"}
FIRST = text_of(QUEUE, PREFIX, weights={"queue-scorer": 2, "prefix-cache-scorer": 3})


def live() -> tuple[LiveConfig, Metrics]:
    context = make_context()
    metrics = Metrics(context.metrics.registry)
    surroundings = Surroundings(metrics=metrics, log=context.log, random=context.random, clock=context.clock)
    return LiveConfig(Settings(config_text=FIRST, endpoint=("10.0.0.1:8000",)), surroundings, context.log), metrics


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
    assert (changes.added, changes.removed, changes.changed, changes.profiles) == ([], [], [], ["default"])
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
    before = one.assembly
    producer = {"type": "approx-prefix-cache-producer", "parameters": {"blockSizeTokens": 64}}
    with pytest.raises(ConfigurationError, match="plugin type `queue-scorers` is not installed"):
        one.replace(text_of({"type": "queue-scorers"}, producer, weights={}))
    assert one.assembly is before
    labels = {"plugin": "approx-prefix-cache-producer"}
    assert metrics.registry.get_sample_value("epp_prefix_index_entries", labels) == len(PROMPT) // 128
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
    assert changes.needs_restart == ["dataLayer"]
    assert one.replace(FIRST).needs_restart == []


def test_plugins_in_use_are_told_of_the_pool() -> None:
    one, _ = live()
    send(one)
    one.replace(text_of(QUEUE, PREFIX, weights={"queue-scorer": 1, "prefix-cache-scorer": 9}))
    one.on_removed(A)
    assert send(one) == 0.0
