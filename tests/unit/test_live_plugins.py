"""A configuration that is refused leaves other people's plugins as they were: alive, connected, exporting."""

from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint

import pytest
from prometheus_client import Counter

from epp.live import LiveConfig
from epp.observability import Metrics
from epp.plugin import Attribute, ConfigurationError, Decision, Endpoint, InferenceRequest, PluginContext, PluginParams
from epp.plugin.testing import make_endpoint, make_request
from epp.registry import GROUP, Registry
from tests.fakes import virtual_time
from tests.fakes.live import QUEUE, live, page, text_of
from tests.fakes.picker import value_of

pytestmark = pytest.mark.usefixtures("own_types")


class Params(PluginParams):
    number: int = 1


class Counting:
    """Exports a counter."""

    def __init__(self, params: Params, context: PluginContext) -> None:
        self.counter = context.metrics.counter("mine_total", "A number.")

    def score(self, request: InferenceRequest, candidates: Sequence[Endpoint]) -> list[float]:
        self.counter.inc()
        return [0.0] * len(candidates)


class Gauging(Counting):
    """Exports a gauge of the counter's name."""

    def __init__(self, context: PluginContext) -> None:
        context.metrics.gauge("mine_total", "A number.")


class ByEndpoint(Counting):
    """Exports a number for each of something."""

    label = "endpoint"

    def __init__(self, context: PluginContext) -> None:
        context.metrics.gauge_for_each("each", "Numbers.", label=self.label, read=lambda: [("x", 1.0)])


class ByModel(ByEndpoint):
    label = "model"


class Other(Counting):
    """Exports the counter too, and one that nobody else has."""

    def __init__(self, params: Params, context: PluginContext) -> None:
        super().__init__(params, context)
        context.metrics.counter("other_total", "A number.")


class Registering(Counting):
    """Does without the help that it is offered, and fails when it is built for the second time."""

    def __init__(self, context: PluginContext) -> None:
        Counter("own_total", "A number.", registry=context.metrics.registry)


class Breaking(Counting):
    """Fails then in a place where nobody expects it."""

    def __init__(self, context: PluginContext) -> None:
        self._is_second = False
        try:
            Counter("own_total", "A number.", registry=context.metrics.registry)
        except ValueError:
            self._is_second = True

    @property
    def consumes(self) -> Sequence[type[Attribute]]:
        if self._is_second:
            raise RuntimeError("odd")
        return ()


class Connected(Counting):
    """Remembers whom it was shown last, and how often it was shown others."""

    def __init__(self) -> None:
        self.others: Sequence[str] = ()
        self.calls = 0

    def connect(self, plugins: Mapping[str, object]) -> None:
        self.others = sorted(plugins)
        self.calls += 1


class Jealous(Connected):
    """Fails when it is shown others again."""

    def connect(self, plugins: Mapping[str, object]) -> None:
        super().connect(plugins)
        if self.calls > 1:
            raise RuntimeError("not again")


KINDS = {
    "counting": Counting,
    "gauging": Gauging,
    "by-endpoint": ByEndpoint,
    "by-model": ByModel,
    "other": Other,
    "registering": Registering,
    "breaking": Breaking,
    "connected": Connected,
    "jealous": Jealous,
}


@pytest.fixture
def own_types(monkeypatch: pytest.MonkeyPatch) -> None:
    own = [EntryPoint(name, f"{__name__}:{kind.__name__}", GROUP) for name, kind in KINDS.items()]
    registry = Registry([*Registry.installed().types.values(), *own])
    monkeypatch.setattr(Registry, "installed", lambda: registry)


def configured(**kinds: str) -> str:
    """Return a configuration with plugins of these types by name."""
    return text_of(QUEUE, *({"type": kind, "name": name} for name, kind in kinds.items()), weights={"queue-scorer": 1})


def running(**kinds: str) -> tuple[LiveConfig, Metrics]:
    one, metrics = live()
    one.replace(configured(**kinds))
    return one, metrics


def plugin(one: LiveConfig, name: str) -> Connected:
    found = one.assembly.built[name].plugin
    assert isinstance(found, Connected)
    return found


@pytest.mark.parametrize(
    ("first", "second", "problem"),
    [
        pytest.param("counting", "gauging", "`mine_total` is there already, as Counter", id="another kind"),
        pytest.param("by-endpoint", "by-model", "`each` is there already, as one for each endpo", id="another label"),
        pytest.param("counting", "no-such-type", "`no-such-type` is not installed", id="no plugin"),
    ],
)
def test_what_is_seen_when_it_is_tried_reaches_nothing_that_is_alive(first: str, second: str, problem: str) -> None:
    one, metrics = running(first=first, connected="connected")
    before, exported, calls = one.assembly, page(metrics), plugin(one, "connected").calls
    with pytest.raises(ConfigurationError, match=problem):
        one.replace(configured(second=second, connected="connected"))
    assert one.assembly is before
    assert page(metrics) == exported
    assert plugin(one, "connected").calls == calls


def test_what_is_seen_when_it_is_in_use_is_undone() -> None:
    one, metrics = running(first="registering", connected="connected")
    before, exported, others = one.assembly, page(metrics), plugin(one, "connected").others
    with pytest.raises(ConfigurationError, match="Duplicated timeseries"):
        one.replace(configured(second="registering", connected="connected"))
    assert one.assembly is before
    assert page(metrics) == exported
    assert plugin(one, "connected").others == others


def test_plugin_that_was_to_become_another_exports_what_it_did() -> None:
    one, metrics = running(a="counting", first="registering")
    counting = one.assembly.built["a"].plugin
    counting.score(make_request(), [])
    with pytest.raises(ConfigurationError, match="Duplicated timeseries"):
        one.replace(configured(a="other", second="registering"))
    counting.score(make_request(), [])
    assert value_of(metrics, "mine_total", plugin="a") == 2.0


def test_plugin_that_was_to_be_new_exports_nothing_and_may_come_later() -> None:
    one, metrics = running(first="registering")
    exported = page(metrics)
    with pytest.raises(ConfigurationError, match="Duplicated timeseries"):
        one.replace(configured(new="other", each="by-endpoint", second="registering"))
    assert page(metrics) == exported
    one.replace(configured(new="other", each="by-model", first="registering"))
    assert value_of(metrics, "other_total", plugin="new") == 0.0
    assert value_of(metrics, "each", plugin="each", model="x") == 1.0


def test_plugin_whose_parameters_were_to_change_is_asked_for_its_own_numbers() -> None:
    def text(block_tokens: int, registering: str) -> str:
        parameters = {"blockSizeTokens": block_tokens}
        producer = {"type": "approx-prefix-cache-producer", "name": "ap", "parameters": parameters}
        return text_of(QUEUE, producer, {"type": "registering", "name": registering}, weights={"queue-scorer": 1})

    one, metrics = live()
    one.replace(text(64, "first"))
    with pytest.raises(ConfigurationError, match="Duplicated timeseries"):
        one.replace(text(32, "second"))
    endpoint, request = make_endpoint(), make_request(prompts=[b"0123456789abcdef" * 400])
    one.on_scraped(endpoint)
    for producer in one.assembly.producers:
        virtual_time.run(producer.produce(request, [endpoint]))
    one.assembly.observers.on_routed(request, Decision(endpoints=[endpoint]))
    assert value_of(metrics, "epp_prefix_index_entries", plugin="ap") == 6400 // 4 // 64
    assert value_of(metrics, "epp_prefix_capacity_blocks", plugin="ap", endpoint=endpoint.key) is not None


def test_plugin_whose_parameters_change_counts_from_0() -> None:
    """What the old one goes on counting, for requests that it has seen, is not the new one's."""
    one, metrics = running(a="counting")
    old = one.assembly.built["a"].plugin
    old.score(make_request(), [])
    changed = {"type": "counting", "name": "a", "parameters": {"number": 2}}
    one.replace(text_of(QUEUE, changed, weights={"queue-scorer": 1}))
    old.score(make_request(), [])
    assert value_of(metrics, "mine_total", plugin="a") == 0.0


def test_plugin_that_fails_to_be_connected_again_does_not_keep_others_from_it() -> None:
    one, metrics = running(jealous="jealous", connected="connected")
    others = plugin(one, "connected").others
    with pytest.raises(ConfigurationError, match="not again"):
        one.replace(configured(jealous="jealous", connected="connected", new="counting"))
    assert plugin(one, "connected").others == others
    assert value_of(metrics, "epp_plugin_errors_total", plugin="jealous", point="connect") == 1.0


def test_failure_that_nobody_expects_is_undone_as_well() -> None:
    one, metrics = running(first="breaking", connected="connected")
    before, exported, others = one.assembly, page(metrics), plugin(one, "connected").others
    with pytest.raises(RuntimeError, match="odd"):
        one.replace(configured(second="breaking", connected="connected", new="counting"))
    assert one.assembly is before
    assert page(metrics) == exported
    assert plugin(one, "connected").others == others
