"""``epp serve`` as a process on Kubernetes, with a real client of a fake API server."""

import asyncio

import aiohttp
import pytest

from epp.demo.envoy import BodyMode
from epp.demo.parts import HOST
from tests.fakes.kube_api import CORE, LEASES, NEW_GROUP, POOLS, KubeApi, pod, pool
from tests.fakes.running import PATIENCE_S, running_envoy, starting_picker
from tests.fakes.upstream import Upstream
from tests.integration.test_serve import NOT_SERVING, SERVING, health_of

PODS, POOL = f"{CORE}/pods", f"{POOLS}/inferencepools"
LLAMA = ("--pool-name", "llama", "--pool-namespace", "default")
PROMPT = b'{"model": "m", "prompt": "hello"}'


@pytest.fixture
def cluster(api: KubeApi, upstreams: list[Upstream]) -> KubeApi:
    """A pool whose only pod serves on two ports."""
    api.put(POOL, pool("llama", *(upstream.port for upstream in upstreams)))
    api.put(PODS, pod("vllm", HOST))
    return api


async def post(url: str, *, headers: dict[str, str] | None = None, body: bytes = PROMPT) -> tuple[int, bytes]:
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{url}/v1/completions", data=body, headers=headers or {}) as response,
    ):
        return response.status, await response.read()


async def test_pool_that_is_not_there_yet_is_waited_for(api: KubeApi, upstreams: list[Upstream]) -> None:
    async with starting_picker(*LLAMA) as picker:
        await picker.event(event="kube_pool_absent", pool="llama")
        assert [await health_of(picker, name) for name in ("liveness", "readiness")] == [SERVING, NOT_SERVING]
        status, text = await picker.readiness()
        assert status == 503
        assert "not yet: the pool is known" in text
        api.put(PODS, pod("vllm", HOST))
        api.put(POOL, pool("llama", upstreams[0].port))
        await picker.wait_until_ready()
        assert await health_of(picker, "readiness") == SERVING
        api.delete(POOL, "llama")
        await picker.event(event="pool_changed", endpoints=0)
        async with asyncio.timeout(PATIENCE_S):
            while await health_of(picker, "readiness") != NOT_SERVING:
                await asyncio.sleep(0.02)
        assert await health_of(picker, "liveness") == SERVING


async def test_picker_without_a_pool_stops_when_told_to(api: KubeApi) -> None:
    async with starting_picker(*LLAMA) as picker:
        await picker.event(event="kube_pool_absent", pool="llama")
        picker.child.process.terminate()
        async with asyncio.timeout(PATIENCE_S):
            assert await picker.child.process.wait() == 0


async def test_api_server_that_is_away_at_start_is_waited_for(api: KubeApi, cluster: KubeApi) -> None:
    await api.stop()
    async with starting_picker(*LLAMA) as picker:
        await picker.event(event="kube_watch_failed", resource="inferencepools")
        await api.start()
        await picker.wait_until_ready()


async def test_requests_go_on_while_the_api_server_is_away(cluster: KubeApi, upstreams: list[Upstream]) -> None:
    async with starting_picker(*LLAMA) as picker, running_envoy(picker, BodyMode.FULL_DUPLEX) as url:
        await picker.wait_until_ready()
        cluster.break_watches()
        await cluster.stop()
        await picker.event(event="kube_watch_failed", resource="pods")
        assert {(await post(url))[0] for _ in range(5)} == {200}
        await cluster.start()


async def test_objectives_shed_and_rewrites_rewrite(cluster: KubeApi, upstreams: list[Upstream]) -> None:
    cluster.kinds |= {f"{NEW_GROUP}/inferenceobjectives", f"{NEW_GROUP}/inferencemodelrewrites"}
    ref = {"name": "llama"}
    cluster.put(
        f"{NEW_GROUP}/inferenceobjectives", {"metadata": {"name": "batch"}, "spec": {"priority": -1, "poolRef": ref}}
    )
    rule = {"matches": [{"model": {"value": "m"}}], "targets": [{"modelRewrite": "m-v2"}]}
    cluster.put(
        f"{NEW_GROUP}/inferencemodelrewrites",
        {"metadata": {"name": "canary"}, "spec": {"poolRef": ref, "rules": [rule]}},
    )
    for upstream in upstreams:
        upstream.page = "vllm:num_requests_waiting 50\nvllm:num_requests_running 9\nvllm:kv_cache_usage_perc 1\n"
    async with starting_picker(*LLAMA) as picker, running_envoy(picker, BodyMode.FULL_DUPLEX) as url:
        await picker.wait_until_ready()
        sheddable = {"x-gateway-inference-objective": "batch"}
        async with asyncio.timeout(PATIENCE_S):
            while (await post(url, headers=sheddable))[0] != 429:
                await asyncio.sleep(0.05)
        assert (await post(url))[0] == 200
        assert any(b'"m-v2"' in body for upstream in upstreams for body in upstream.bodies)


async def test_only_the_leader_is_ready_and_hands_over_as_it_goes(cluster: KubeApi) -> None:
    flags = (*LLAMA, "--ha-enable-leader-election", "--drain-timeout", "1s")
    async with starting_picker(*flags) as leader:
        await leader.wait_until_ready()
        async with starting_picker(*flags) as standby:
            await standby.event(event="serving")
            await standby.event(event="leadership", is_leader=False)
            async with asyncio.timeout(PATIENCE_S):
                while await standby.readiness() != (503, "not yet: this picker is the leader\n"):
                    await asyncio.sleep(0.05)
            assert await health_of(standby, "liveness") == SERVING
            assert await standby.metric("epp_endpoints_ready") == 2, "kept warm"
            leader.child.process.terminate()
            await standby.wait_until_ready()
    (lease,) = cluster.objects[f"{LEASES}/leases"].values()
    assert not lease["spec"].get("holderIdentity")


GAIE = (
    *("--pool-name", "llama", "--pool-namespace", "default", "--pool-group", "inference.networking.k8s.io"),
    *("--zap-encoder", "json", "--v", "1", "--tracing=false", "--metrics-endpoint-auth=false"),
    *("--refresh-metrics-interval", "50ms", "--metrics-staleness-threshold", "2s", "--enable-pprof=false"),
)
LLM_D = (
    *("--pool-name=llama", "--pool-namespace=default", "--health-checking", "--enable-cert-reload=false"),
    *("--drain-timeout=30s", "--emit-endpoint-scores", "--tls-min-version", "VersionTLS12", "--zap-log-level", "info"),
)


@pytest.mark.parametrize("args", [pytest.param(GAIE, id="GAIE v1.5"), pytest.param(LLM_D, id="llm-d-router v0.10")])
async def test_arguments_of_the_go_pickers_start_this_one(cluster: KubeApi, args: tuple[str, ...]) -> None:
    async with starting_picker(*args) as picker:
        await picker.wait_until_ready()
        assert await picker.metric("epp_endpoints") == 2


async def test_pods_without_a_pool(cluster: KubeApi, upstreams: list[Upstream]) -> None:
    ports = ",".join(str(upstream.port) for upstream in upstreams)
    async with starting_picker("--endpoint-selector", "app=vllm", "--endpoint-target-ports", ports) as picker:
        await picker.wait_until_ready()
        assert await picker.metric("epp_endpoints_ready") == 2
