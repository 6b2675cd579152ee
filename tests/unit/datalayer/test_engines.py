"""Engines as data: which metrics are read, how an engine is recognised, what a configuration may change."""

import pytest

from epp.datalayer.core_metrics import CoreMetricsExtractor, Params
from epp.datalayer.engine_config import CustomMetric, EngineConfig
from epp.datalayer.engines import parse_spec
from epp.plugin import Adapters, ConfigurationError, Load, Reading
from epp.plugin.testing import make_endpoint

PAGES = {
    "vllm": (
        'vllm:num_requests_waiting{engine="0"} 3\nvllm:num_requests_running{engine="0"} 5\n'
        'vllm:kv_cache_usage_perc{engine="0"} 0.25\n'
        'vllm:cache_config_info{block_size="16",num_gpu_blocks="100"} 1\n'
    ),
    "sglang": (
        "sglang:num_queue_reqs 3\nsglang:num_running_reqs 5\nsglang:token_usage 0.25\n"
        'sglang:cache_config_info{page_size="16",num_pages="100"} 1\n'
    ),
    "trtllm-serve": (
        "trtllm_num_requests_waiting 3\ntrtllm_num_requests_running 5\ntrtllm_kv_cache_utilization 0.25\n"
        "trtllm_kv_cache_tokens_per_block 16\ntrtllm_kv_cache_max_blocks 100\n"
    ),
    "triton-tensorrt-llm": (
        'nv_trt_llm_request_metrics{model="m",request_type="waiting"} 3\n'
        'nv_trt_llm_request_metrics{model="m",request_type="context"} 9\n'
        'nv_trt_llm_request_metrics{model="m",request_type="scheduled"} 5\n'
        'nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction"} 0.25\n'
        'nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="tokens_per"} 16\n'
        'nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="max"} 100\n'
    ),
}
LOAD = Load(waiting=3, running=5, kv_cache_ratio=0.25, block_size_tokens=16, block_count=100)


def read(page: str, *, labels: dict[str, str] | None = None, params: Params | None = None) -> Reading:
    return CoreMetricsExtractor(params or Params()).read_load(make_endpoint(labels=labels), page.encode())


@pytest.mark.parametrize("engine", PAGES)
@pytest.mark.parametrize("label", ["llm-d.ai/engine-type", "inference.networking.k8s.io/engine-type"])
def test_engine_that_a_label_names_is_read(engine: str, label: str) -> None:
    assert read(PAGES[engine], labels={label: engine}) == Reading(load=LOAD, missing=[])


@pytest.mark.parametrize("engine", PAGES)
def test_engine_is_recognised_by_its_page(engine: str) -> None:
    assert read(PAGES[engine]) == Reading(load=LOAD, missing=[])


def test_engine_with_a_wrong_label_is_recognised_too() -> None:
    assert read(PAGES["sglang"], labels={"llm-d.ai/engine-type": "vllm"}).load == LOAD


def test_engine_that_nobody_knows_is_read_as_the_default() -> None:
    assert read(PAGES["vllm"], labels={"llm-d.ai/engine-type": "new"}).load == LOAD


def test_triton_tells_its_queue_and_nothing_of_a_cache() -> None:
    reading = read('nv_inference_pending_request_count{m="a"} 2\nnv_inference_exec_count 700\n')
    assert reading == Reading(load=Load(waiting=2), missing=[])


def test_metrics_that_the_engine_should_export_and_does_not_are_named() -> None:
    reading = read("vllm:num_requests_waiting 1\n")
    assert reading.missing == ["vllm:num_requests_running", "vllm:kv_cache_usage_perc", "vllm:cache_config_info"]


def test_newest_series_of_adapters_counts() -> None:
    page = (
        "vllm:num_requests_waiting 0\n"
        'vllm:lora_requests_info{max_lora="4",running_lora_adapters="a, b",waiting_lora_adapters=""} 1700000001.5\n'
        'vllm:lora_requests_info{max_lora="4",running_lora_adapters="",waiting_lora_adapters="c"} 1700000002.5\n'
        'vllm:lora_requests_info{max_lora="4",running_lora_adapters="d",waiting_lora_adapters=""} 1700000000.5\n'
    )
    assert read(page).load.adapters == Adapters(waiting=frozenset({"c"}), max_loaded=4)


def test_configured_engine_is_read_and_keeps_what_is_left_out() -> None:
    config = EngineConfig(name="vllm", queued_requests_spec='my_queue{kind="all"}')
    page = PAGES["vllm"] + 'my_queue{kind="all"} 9\nmy_queue{kind="some"} 8\n'
    load = read(page, params=Params(engine_configs=[config])).load
    assert (load.waiting, load.running) == (9, 5)


def test_new_engine_is_read_under_its_label() -> None:
    config = EngineConfig(
        name="mine",
        queued_requests_spec="q",
        cache_info_spec="info",
        cache_block_size_label_name="size",
        cache_num_blocks_label_name="count",
        custom_metrics=[CustomMetric(attribute_key="gpu", metric_spec="gpu_util{gpu=0}")],
    )
    page = 'q 4\ninfo{size="8",count="10"} 1\ngpu_util{gpu="0"} 0.5\ngpu_util{gpu="1"} 0.7\n'
    params = Params(engine_label_key="kind", engine_configs=[config])
    expected = Load(waiting=4, block_size_tokens=8, block_count=10, custom={"gpu": 0.5})
    assert read(page, labels={"kind": "mine"}, params=params).load == expected


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        pytest.param(
            Params(default_engine="vlm"),
            "defaultEngine: no engine is named `vlm`; did you mean `vllm`?",
            id="default",
        ),
        pytest.param(
            Params(engine_configs=[EngineConfig(name="e", kv_usage_spec="a b")]),
            "engineConfigs[0].kvUsageSpec: `a b` is no metric; write it like name or name{label=value}",
            id="spec",
        ),
        pytest.param(
            Params(engine_configs=[EngineConfig(name="e", custom_metrics=[CustomMetric("k", "m{x}")])]),
            "engineConfigs[0].customMetrics[0].metricSpec: `x` in `m{x}` is no label; write it like label=value",
            id="label",
        ),
    ],
)
def test_wrong_configuration_is_refused(params: Params, problem: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        CoreMetricsExtractor(params)
    assert str(raised.value) == problem


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        pytest.param("m", {}, id="name alone"),
        pytest.param("m{}", {}, id="no labels"),
        pytest.param('m{a=b,c="d e"}', {b"a": b"b", b"c": b"d e"}, id="labels with and without quotes"),
    ],
)
def test_spec_is_read(text: str, labels: dict[bytes, bytes]) -> None:
    spec = parse_spec(text)
    assert (spec.name, spec.labels) == (b"m", labels)


def test_configured_metric_may_be_negative_or_huge() -> None:
    custom = [
        CustomMetric(attribute_key="headroom", metric_spec="h"),
        CustomMetric(attribute_key="ns", metric_spec="n"),
    ]
    params = Params(engine_configs=[EngineConfig(name="vllm", custom_metrics=custom)])
    assert read("vllm:num_requests_waiting 0\nh -3\nn 1.7e18\n", params=params).load.custom == {
        "headroom": -3.0,
        "ns": 1.7e18,
    }


def test_engine_without_a_queue_of_its_own_is_not_taken_for_another() -> None:
    params = Params(default_engine="mine", engine_configs=[EngineConfig(name="mine", kv_usage_spec="my_cache")])
    assert read(PAGES["vllm"] + "my_cache 0.75\n", params=params).load == Load(kv_cache_ratio=0.75)
