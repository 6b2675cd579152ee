"""Configurations that the charts write are ones that the picker takes."""

import pytest
import yaml

from epp.checking import check_text
from epp.config import DEFAULT_CONFIG, read_config
from tests.charts.rendering import NEEDED, Json, nested, release

ENGINES = ["vllm", "sglang", "trtllm-serve", "triton-tensorrt-llm", "triton"]
ENGINE_AT = {
    "inferencepool": "inferencePool.modelServerType",
    "standalone": "inferenceExtension.endpointsServer.modelServerType",
}

charts = pytest.mark.parametrize("chart", NEEDED)


def config_of(chart: str, values: Json | None = None) -> str:
    text = release(chart, values).config()
    report = check_text(text)
    assert report.complaints("default-plugins.yaml") == []
    return text


def parameters(text: str, plugin: str) -> object:
    (found,) = [one for one in yaml.safe_load(text)["plugins"] if one["type"] == plugin]
    return found.get("parameters")


@charts
def test_default_is_that_of_the_picker(chart: str) -> None:
    config, problems = read_config(config_of(chart))
    assert problems == []
    (profile,) = config.scheduling_profiles
    weights = {one.plugin_ref: one.weight for one in profile.plugins}
    assert weights == {"queue-scorer": 2, "kv-cache-utilization-scorer": 2, "prefix-cache-scorer": 3}
    (builtin,) = DEFAULT_CONFIG.scheduling_profiles
    assert weights.items() <= {one.plugin_ref: one.weight for one in builtin.plugins}.items()


@charts
@pytest.mark.parametrize("engine", ENGINES)
def test_engine_that_is_not_vllm_is_named(chart: str, engine: str) -> None:
    text = config_of(chart, nested(ENGINE_AT[chart], engine))
    assert parameters(text, "core-metrics-extractor") == (None if engine == "vllm" else {"defaultEngine": engine})


@charts
def test_metrics_pages_are_fetched_as_asked_for(chart: str) -> None:
    source: Json = {"scheme": "https", "path": "/m", "insecureSkipVerify": False}
    text = config_of(chart, nested("inferenceExtension.metricsDataSource", source))
    assert parameters(text, "metrics-data-source") == source


@charts
def test_latency_predictor_selects_a_profile_that_predicts(chart: str) -> None:
    text = config_of(chart, nested("inferenceExtension.latencyPredictor.enabled", value=True))
    assert "predicted-latency-producer" in text
    assert "queue-scorer" not in text


@pytest.mark.parametrize(
    ("values", "parser"),
    [
        pytest.param({}, None, id="by path"),
        pytest.param({"modelServerProtocol": "grpc"}, "vllmgrpc-parser", id="grpc"),
        pytest.param({"parser": "passthrough-parser"}, "passthrough-parser", id="named"),
        pytest.param(
            {"parser": "openai-parser", "modelServerProtocol": "grpc"}, "openai-parser", id="named, with grpc"
        ),
    ],
)
def test_parser(values: Json, parser: str | None) -> None:
    document = yaml.safe_load(config_of("inferencepool", {"inferencePool": values}))
    assert document.get("requestHandler") == (None if parser is None else {"parsers": [{"pluginRef": parser}]})


@charts
def test_own_configuration_is_passed_on_as_it_is(chart: str) -> None:
    mine = "# first\n  indented: [1]\n\n\ttab"
    values = nested("inferenceExtension.pluginsCustomConfig", {"mine.yaml": mine})
    assert release(chart, values).config("mine.yaml") == mine
