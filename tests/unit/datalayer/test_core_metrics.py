"""The few numbers that matter are found on a metrics page, whatever else is on it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.datalayer.core_metrics import CoreMetricsExtractor, Params
from epp.plugin import Load, Reading
from epp.plugin.testing import make_endpoint

REAL_PAGE = Path(__file__).parents[2] / "data" / "vllm-0.32-metrics.txt"
"""Read off a real vLLM 0.32 server on the CPU, at rest."""


def read(page: bytes) -> Reading:
    return CoreMetricsExtractor(Params()).read_load(make_endpoint(), page)


def load_of(page: str) -> Load:
    return read(page.encode()).load


def test_page_of_a_real_idle_vllm_is_read() -> None:
    assert read(REAL_PAGE.read_bytes()).load == Load(
        waiting=0,
        running=0,
        kv_cache_ratio=0.0,
        block_size_tokens=128,
        block_count=16384,
        prefix_caching=True,
        prefix_queried_tokens=0,
        prefix_hit_tokens=0,
        started_at_s=1795225422.6,
    )


def test_page_of_a_real_vllm_at_work_is_read() -> None:
    page = (
        REAL_PAGE.read_text()
        .replace(
            'vllm:num_requests_waiting{engine="0",model_name="tiny"} 0.0', 'vllm:num_requests_waiting{engine="0"} 3.0'
        )
        .replace(
            'vllm:num_requests_running{engine="0",model_name="tiny"} 0.0', 'vllm:num_requests_running{engine="0"} 12.0'
        )
        .replace(
            'vllm:kv_cache_usage_perc{engine="0",model_name="tiny"} 0.0', 'vllm:kv_cache_usage_perc{engine="0"} 0.25'
        )
    )
    load = load_of(page)
    assert (load.waiting, load.running, load.kv_cache_ratio) == (3, 12, 0.25)


@pytest.mark.parametrize("name", ["vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"])
def test_cache_use_is_read_under_its_new_and_its_old_name(name: str) -> None:
    assert load_of(f"{name} 0.5\n").kv_cache_ratio == 0.5


def test_series_of_data_parallel_ranks_are_summed_and_their_cache_use_averaged() -> None:
    page = "\n".join(
        line
        for rank, (waiting, ratio) in enumerate([(1, 0.2), (4, 0.6)])
        for line in (
            f'vllm:num_requests_waiting{{engine="{rank}"}} {waiting}',
            f'vllm:kv_cache_usage_perc{{engine="{rank}"}} {ratio}',
            f'vllm:cache_config_info{{block_size="16",engine="{rank}",num_gpu_blocks="100"}} 1.0',
        )
    )
    load = load_of(page)
    assert (load.waiting, load.block_size_tokens, load.block_count) == (5, 16, 200)
    assert load.kv_cache_ratio == pytest.approx(0.4)


def test_longer_name_with_the_same_beginning_is_another_metric() -> None:
    page = 'vllm:num_requests_waiting_by_reason{reason="capacity"} 9\nvllm:num_requests_waiting 2\n'
    assert load_of(page).waiting == 2


def test_comments_and_mentions_in_other_lines_are_not_samples() -> None:
    page = (
        "# HELP vllm:num_requests_waiting Sum of vllm:num_requests_waiting 8\n"
        'other{doc="vllm:num_requests_waiting 7"} 1\n'
        "vllm:num_requests_waiting 2\n"
    )
    assert load_of(page).waiting == 2


@pytest.mark.parametrize(
    ("line", "waiting"),
    [
        pytest.param("vllm:num_requests_waiting 2", 2, id="no labels, no newline"),
        pytest.param("vllm:num_requests_waiting{} 2\n", 2, id="empty labels"),
        pytest.param('vllm:num_requests_waiting { m = "a" }2\n', 2, id="blanks around labels, none before the value"),
        pytest.param('vllm:num_requests_waiting{m="a}b \\" 9"} 2\n', 2, id="brace and quote in a label"),
        pytest.param("vllm:num_requests_waiting\t2 1700000000000\n", 2, id="tab and timestamp"),
        pytest.param("vllm:num_requests_waiting 2e1\r\n", 20, id="exponent and carriage return"),
        pytest.param("vllm:num_requests_waiting NaN\n", None, id="NaN"),
        pytest.param("vllm:num_requests_waiting +Inf\n", None, id="infinite"),
        pytest.param("vllm:num_requests_waiting -1\n", None, id="negative"),
        pytest.param("vllm:num_requests_waiting many\n", None, id="word"),
        pytest.param("vllm:num_requests_waiting 1e308\n" * 2, None, id="no sensible count"),
        pytest.param('vllm:num_requests_waiting{m\nother{a="b"} 9\n', None, id="labels do not span lines"),
        pytest.param("vllm:num_requests_waiting\n", None, id="no value"),
        pytest.param('vllm:num_requests_waiting{m="unclosed 2\n', None, id="torn labels"),
    ],
)
def test_sample_line_is_read_or_passed_over(line: str, waiting: int | None) -> None:
    assert load_of(line).waiting == waiting


def test_unknown_number_of_blocks_is_none() -> None:
    load = load_of('vllm:cache_config_info{block_size="16",num_gpu_blocks="None"} 1.0\n')
    assert (load.block_size_tokens, load.block_count) == (16, None)


def test_huge_number_of_blocks_is_passed_over() -> None:
    assert load_of(f'vllm:cache_config_info{{block_size="{"9" * 5000}",num_gpu_blocks="8"}} 1\n').block_count == 8


def test_page_of_something_else_is_an_unknown_load() -> None:
    assert load_of("process_start_time_seconds 1.7e9\npython_info 1\n") == Load()


def test_start_and_prefix_counters_are_read() -> None:
    load = load_of(
        "vllm:num_requests_waiting 0\nprocess_start_time_seconds 1.7e9\n"
        'vllm:prefix_cache_queries_total{engine="0"} 100\nvllm:prefix_cache_queries_total{engine="1"} 50\n'
        'vllm:prefix_cache_hits_total{engine="0"} 80\nvllm:prefix_cache_hits_total{engine="1"} 0\n'
        'vllm:cache_config_info{enable_prefix_caching="False"} 1\n'
    )
    assert (load.started_at_s, load.prefix_queried_tokens, load.prefix_hit_tokens) == (1.7e9, 150, 80)
    assert load.prefix_caching is False


def test_page_without_any_of_them_is_an_unknown_load() -> None:
    assert load_of("<html>not found</html>") == Load()


NOISE, SMALL = st.integers(0, 10**6), st.integers(0, 2)


@given(st.lists(st.tuples(SMALL, SMALL, NOISE), min_size=2, max_size=20))
def test_pages_of_one_endpoint_read_as_if_each_were_the_first(pages: list[tuple[int, int, int]]) -> None:
    """What changes are the numbers, and the places by their lengths."""
    warm, endpoint = CoreMetricsExtractor(Params()), make_endpoint()
    for waiting, running, noise in pages:
        page = b"noise %d\nvllm:num_requests_waiting %d\nmore %d\nvllm:num_requests_running %d\n" % (
            *(noise, waiting),
            *(noise, running),
        )
        assert warm.read_load(endpoint, page) == CoreMetricsExtractor(Params()).read_load(endpoint, page)


def test_same_page_is_read_anew_when_the_endpoint_has_become_another_engine() -> None:
    warm, endpoint = CoreMetricsExtractor(Params()), make_endpoint()
    page = b"noise 1\nvllm:num_requests_waiting 1\nsglang:num_queue_reqs 2\n"
    assert warm.read_load(endpoint, page).load.waiting == 1
    endpoint.spec = make_endpoint(labels={"llm-d.ai/engine-type": "sglang"}).spec
    assert warm.read_load(endpoint, page).load.waiting == 2


@given(st.binary(max_size=200), st.integers(0, 4))
def test_garbage_around_or_in_a_page_never_raises(garbage: bytes, lines: int) -> None:
    page = b"vllm:num_requests_waiting 1\n" * lines
    read(page + garbage)
    read(b"vllm:num_requests_waiting" + garbage + b"\nvllm:cache_config_info{" + garbage + b"} 1")


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(b"vllm:num_requests_waiting{\n" * 300_000, id="open braces"),
        pytest.param(b'vllm:num_requests_waiting{a="\n' * 300_000, id="open quotes"),
        pytest.param(b"vllm:cache_config_info{" + b"a" * 8_000_000, id="word without an end"),
        pytest.param(b"vllm:cache_config_info{" + b"a" * 8_000_000 + b"} 1", id="word without a value"),
        pytest.param(b"vllm:cache_config_info{" + b'a="' * 2_000_000 + b"} 1", id="quotes"),
    ],
)
def test_hostile_page_of_8_mb_is_read_in_linear_time(page: bytes) -> None:
    """A page of quadratic cost would not end within any patience; the suite's own time is the bound."""
    assert read(page).load.waiting is None
