"""One configuration replaces another: what it does not change lives on."""

from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint
from typing import Any

import pytest
import yaml
from prometheus_client import Counter

from epp.assembled import Surroundings
from epp.live import LiveConfig
from epp.observability import Metrics
from epp.plugin import ConfigurationError, Decision, Endpoint, InferenceRequest, PluginContext, PrefixMatches
from epp.plugin.testing import make_context, make_endpoint, make_request
from epp.registry import GROUP, Registry
from epp.reloading import Changes
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


class Counting:
    """Exports a counter, or says at what it failed."""

    def __init__(self, context: PluginContext) -> None:
        context.metrics.counter("mine_total", "A number.")

    def score(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> list[float]:
        return [0.0] * len(candidates)


class Gauging(Counting):
    def __init__(self, context: PluginContext) -> None:
        context.metrics.gauge("mine_total", "A number.")


class Registering(Counting):
    """Does without the help that it is offered, and fails when it is built for the second time."""

    def __init__(self, context: PluginContext) -> None:
        Counter("own_total", "A number.", registry=context.metrics.registry)


class Connected(Counting):
    """Remembers whom it was shown last."""

    def __init__(self) -> None:
        self.others: Sequence[str] = ()

    def connect(self, plugins: Mapping[str, object]) -> None:
        self.others = sorted(plugins)


@pytest.fixture
def own_types(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {"counting": Counting, "gauging": Gauging, "registering": Registering, "connected": Connected}
    own = [EntryPoint(name, f"{__name__}:{kind.__name__}", GROUP) for name, kind in kinds.items()]
    registry = Registry([*Registry.installed().types.values(), *own])
    monkeypatch.setattr(Registry, "installed", lambda: registry)


CONNECTED = {"type": "connected"}


@pytest.mark.usefixtures("own_types")
@pytest.mark.parametrize(
    ("first", "second", "problem"),
    [
        pytest.param("counting", "gauging", "`mine_total` is there already, as Counter", id="seen when it is tried"),
        pytest.param("registering", "registering", "Duplicated timeseries", id="seen when it is in use"),
    ],
)
def test_metric_that_is_taken_leaves_all_as_it_is(first: str, second: str, problem: str) -> None:
    one, _ = live()
    one.replace(text_of(QUEUE, CONNECTED, {"type": first, "name": "first"}, weights={"queue-scorer": 1}))
    before = one.assembly
    connected = before.built["connected"].plugin
    assert isinstance(connected, Connected)
    others = connected.others
    with pytest.raises(ConfigurationError, match=problem):
        one.replace(text_of(QUEUE, CONNECTED, {"type": second, "name": "second"}, weights={"queue-scorer": 1}))
    assert one.assembly is before
    assert connected.others == others
