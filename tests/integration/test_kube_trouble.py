"""What API servers and networks do while an InferencePool is followed."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from epp.kube import reflector
from epp.observability import Metrics
from tests.fakes.following import Seen, followed, until
from tests.fakes.kube_api import CORE, POOLS, KubeApi, pod, pool

PODS, POOL = f"{CORE}/pods", f"{POOLS}/inferencepools"
A, B = "a-rank-0 10.0.0.1:8000", "b-rank-0 10.0.0.2:8000"


class TestTrouble:
    """What API servers and networks do."""

    @pytest.fixture
    async def following(self, api: KubeApi) -> AsyncIterator[tuple[Seen, Metrics]]:
        api.put(POOL, pool("llama"))
        api.put(PODS, pod("a", "10.0.0.1"))
        async with followed() as (seen, metrics):
            await until(lambda: seen.destinations == [A] and api.watches == 2)
            yield seen, metrics

    async def test_broken_watch_goes_on_where_it_was(self, api: KubeApi, following: tuple[Seen, Metrics]) -> None:
        seen, _ = following
        lists = len(list_requests(api))
        api.break_watches()
        api.put(PODS, pod("b", "10.0.0.2"))
        await until(lambda: seen.destinations == [A, B])
        assert len(list_requests(api)) == lists

    async def test_version_that_is_gone_begins_with_a_list(self, api: KubeApi, following: tuple[Seen, Metrics]) -> None:
        seen, metrics = following
        api.delete(PODS, "a")
        api.put(PODS, pod("b", "10.0.0.2"))
        api.forget_history()
        api.break_watches()
        await until(lambda: seen.destinations == [B])
        api.put(PODS, pod("a", "10.0.0.1"))
        await until(lambda: sorted(seen.destinations) == [A, B])
        assert metrics.registry.get_sample_value("epp_kube_failures_total", {"resource": "pods", "code": "410"})

    @pytest.mark.parametrize("code", [401, 403, 429, 500, 503, 504])
    async def test_server_that_refuses_is_asked_again_and_the_pool_stays(
        self, api: KubeApi, following: tuple[Seen, Metrics], code: int
    ) -> None:
        seen, metrics = following
        api.failures = [(code, "no")] * 6
        api.break_watches()
        await until(lambda: not api.failures)
        assert seen.destinations == [A]
        api.put(PODS, pod("b", "10.0.0.2"))
        await until(lambda: seen.destinations == [A, B])
        labels = {"resource": "pods", "code": str(code)}
        assert metrics.registry.get_sample_value("epp_kube_failures_total", labels)

    async def test_server_that_is_away_leaves_the_pool_as_it_was(
        self, api: KubeApi, following: tuple[Seen, Metrics]
    ) -> None:
        seen, metrics = following
        api.break_watches()
        await api.stop()
        labels = {"resource": "pods", "code": ""}
        await until(lambda: (metrics.registry.get_sample_value("epp_kube_failures_total", labels) or 0) > 3)
        assert seen.destinations == [A]
        api.put(PODS, pod("b", "10.0.0.2"))
        api.delete(PODS, "a")
        await api.start()
        await until(lambda: seen.destinations == [B])

    async def test_watch_without_a_word_is_given_up(
        self, api: KubeApi, following: tuple[Seen, Metrics], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen, _ = following
        monkeypatch.setattr(reflector, "SILENCE_S", 0.1)
        api.is_silent = True
        api.break_watches()
        await until(lambda: api.watches == 2)
        api.put(PODS, pod("b", "10.0.0.2"))
        await asyncio.sleep(0.05)
        assert seen.destinations == [A]
        api.is_silent = False
        await until(lambda: seen.destinations == [A, B])

    async def test_bookmark_moves_the_point_to_go_on_from(self, api: KubeApi, following: tuple[Seen, Metrics]) -> None:
        seen, _ = following
        api.bookmark_every_s = 0.02
        for number in range(5):
            api.put(PODS, pod(f"x{number}", "10.9.0.1", labels={"app": "other"}))
        await asyncio.sleep(0.2)
        api.forget_history()
        lists = len(list_requests(api))
        api.break_watches()
        api.put(PODS, pod("b", "10.0.0.2"))
        await until(lambda: seen.destinations == [A, B])
        assert len(list_requests(api)) == lists

    @pytest.mark.parametrize(
        "odd",
        [
            pytest.param({"metadata": {"name": "odd"}}, id="nothing in it"),
            pytest.param({"metadata": {"name": "odd", "labels": {"app": "vllm"}}, "status": None}, id="no status"),
            pytest.param(
                {"metadata": {"name": "odd", "labels": {"app": "vllm"}}, "status": {"podIP": 7}}, id="wrong type"
            ),
            pytest.param(pod("odd", "not an address"), id="no address"),
            pytest.param(pod("odd", ""), id="no address yet"),
            pytest.param(pod("odd", "10.0.0.9", annotations={"llm-d.ai/active-ports": "none"}), id="no port"),
            pytest.param(pod("odd", "10.0.0.9", annotations={"llm-d.ai/active-ports": "9" * 5000}), id="no such port"),
            pytest.param(pod("odd", "10.0.0.9", labels={"app": "vllm", "odd": 7}), id="wrong label"),  # type: ignore[dict-item]
        ],
    )
    async def test_odd_pod_is_no_endpoint_and_stops_nothing(
        self, api: KubeApi, following: tuple[Seen, Metrics], odd: dict[str, Any]
    ) -> None:
        seen, _ = following
        api.put(PODS, odd)
        api.put(PODS, pod("b", "10.0.0.2"))
        await until(lambda: seen.destinations == [A, B])

    async def test_one_404_does_not_empty_the_pool(self, api: KubeApi, following: tuple[Seen, Metrics]) -> None:
        seen, _ = following
        told = len(seen.pools)
        api.failures = [(404, "not found")] * 2
        api.break_watches()
        await until(lambda: not api.failures)
        api.put(PODS, pod("b", "10.0.0.2"))
        await until(lambda: seen.destinations == [A, B])
        assert None not in seen.pools[told:]

    async def test_crds_that_are_gone_empty_the_pool_after_a_while(
        self, api: KubeApi, following: tuple[Seen, Metrics]
    ) -> None:
        seen, _ = following
        api.kinds.discard(POOL)
        api.break_watches()
        await until(lambda: seen.pools[-1] is None)
        api.kinds.add(POOL)
        await until(lambda: seen.destinations == [A])

    async def test_version_that_the_server_has_not_got_to_begins_with_a_list(
        self, api: KubeApi, following: tuple[Seen, Metrics]
    ) -> None:
        seen, _ = following
        before = len(pod_requests(api))
        api.refusals["/pods"] = (504, "Too large resource version: 9999, current: 5")
        api.break_watches()
        await until(lambda: len(pod_requests(api)) > before + 1)
        api.refusals.clear()
        assert ["watch=" in path for path in pod_requests(api)[before : before + 2]] == [True, False]
        api.put(PODS, pod("b", "10.0.0.2"))
        await until(lambda: len(seen.destinations) > 1)
        assert A in seen.destinations

    async def test_selector_that_changes_while_it_stops_does_not_keep_it_from_stopping(self, api: KubeApi) -> None:
        for number in range(20):
            async with asyncio.timeout(5), followed() as (seen, _):
                await until(lambda: bool(seen.pools))
                api.put(POOL, pool("llama", 8000 + number % 2))
                await asyncio.sleep(0.002 * (number % 5))

    async def test_odd_pool_leaves_things_as_they_are(self, api: KubeApi, following: tuple[Seen, Metrics]) -> None:
        seen, _ = following
        api.put(POOL, {"metadata": {"name": "llama"}, "spec": {"selector": {}, "targetPorts": []}})
        await asyncio.sleep(0.1)
        assert seen.destinations == [A]
        api.forget_history()
        api.break_watches()
        await until(lambda: api.watches == 2)
        await asyncio.sleep(0.1)
        assert seen.destinations == [A], "not by a list either"
        api.put(POOL, pool("llama", 8000))
        api.put(PODS, pod("b", "10.0.0.2"))
        await until(lambda: seen.destinations == [A, B])


def pod_requests(api: KubeApi) -> list[str]:
    return [path for method, path in api.requests if method == "GET" and "/pods" in path]


def list_requests(api: KubeApi) -> list[str]:
    return [path for path in pod_requests(api) if "watch=" not in path]


async def test_forbidden_list_says_which_permission_is_missing(api: KubeApi) -> None:
    said = 'inferencepools is forbidden: User "epp" cannot list resource "inferencepools"'
    api.put(POOL, pool("llama"))
    api.failures = [(403, said)] * 4
    log = io.StringIO()
    async with followed(log_to=log) as (seen, _):
        await until(lambda: seen.pools == [[]])
    (event,) = [
        event
        for event in map(json.loads, log.getvalue().splitlines())
        if event["event"] == "kube_watch_failed" and event["resource"] == "inferencepools"
    ]
    assert said in event["error"]
    assert event["needs"] == "get, list and watch on inferencepools"
