"""The pool of an InferencePool, followed at an API server over HTTP."""

from collections.abc import Callable

from epp.kube.cluster import PoolName
from epp.kube.objects import OLD_POOL_GROUP, PoolShape
from tests.fakes.following import followed, until
from tests.fakes.kube_api import CORE, POOLS, KubeApi, pod, pool

PODS, POOL = f"{CORE}/pods", f"{POOLS}/inferencepools"


A, B = "a-rank-0 10.0.0.1:8000", "b-rank-0 10.0.0.2:8000"


async def test_ready_pods_of_the_pool_are_its_endpoints(api: KubeApi) -> None:
    api.put(POOL, pool("llama"))
    api.put(POOL, pool("other", labels={"app": "other"}))
    api.put(PODS, pod("a", "10.0.0.1"))
    api.put(PODS, pod("starting", "10.0.0.3", is_ready=False))
    api.put(PODS, pod("leaving", "10.0.0.4", deletionTimestamp="2026-01-01T00:00:00Z"))
    api.put(PODS, pod("others", "10.0.0.5", labels={"app": "other"}))
    api.put(PODS, pod("v6", "fd00::1"))
    async with followed() as (seen, _):
        await until(lambda: bool(seen.pools))
        assert seen.destinations == [A, "v6-rank-0 fd00::1:8000"]
        (first, _) = seen.pools[-1] or ()
        assert (first.namespace, first.uid, first.labels) == ("default", "uid-a", {"app": "vllm"})


async def test_every_port_is_an_endpoint_and_pods_may_say_which_are_active(api: KubeApi) -> None:
    api.put(POOL, pool("llama", 8000, 8001))
    api.put(PODS, pod("a", "10.0.0.1"))
    api.put(PODS, pod("b", "10.0.0.2", annotations={"llm-d.ai/active-ports": "8001"}))
    api.put(PODS, pod("c", "10.0.0.3", annotations={"inference.networking.k8s.io/active-ports": "x, 8000"}))
    async with followed() as (seen, _):
        await until(lambda: bool(seen.pools))
        assert seen.destinations == [
            A,
            "a-rank-1 10.0.0.1:8001",
            "b-rank-1 10.0.0.2:8001",
            "c-rank-0 10.0.0.3:8000",
        ]


async def test_pods_come_and_go(api: KubeApi) -> None:
    api.put(POOL, pool("llama"))
    api.put(PODS, pod("a", "10.0.0.1"))
    async with followed() as (seen, _):
        await until(lambda: seen.destinations == [A])
        steps: list[tuple[Callable[[], object], list[str]]] = [
            (lambda: api.put(PODS, pod("b", "10.0.0.2")), [A, B]),
            (lambda: api.put(PODS, pod("a", "10.0.0.1", is_ready=False)), [B]),
            (lambda: api.delete(PODS, "b"), []),
            (lambda: api.put(PODS, pod("a", "10.0.0.1")), [A]),
            (lambda: api.put(PODS, pod("a", "10.0.0.1", labels={"app": "other"})), []),
        ]
        for step, wanted in steps:
            step()
            await until(lambda: seen.destinations == wanted)  # noqa: B023 - called at once


async def test_pool_may_change_its_selector_and_ports_and_go_and_come_back(api: KubeApi) -> None:
    api.put(PODS, pod("a", "10.0.0.1"))
    api.put(PODS, pod("b", "10.0.0.2", labels={"app": "new"}))
    async with followed() as (seen, _):
        await until(lambda: seen.pools == [None])
        api.put(POOL, pool("llama"))
        await until(lambda: seen.destinations == [A])
        told = len(seen.pools)
        api.put(POOL, pool("llama", 9000, labels={"app": "new"}))
        await until(lambda: seen.destinations == ["b-rank-0 10.0.0.2:9000"])
        assert len(seen.pools) == told + 1, "no moment without endpoints"
        api.delete(POOL, "llama")
        await until(lambda: seen.pools[-1] is None)
        api.put(POOL, pool("llama"))
        await until(lambda: seen.destinations == [A])


async def test_pool_of_the_old_group(api: KubeApi) -> None:
    collection = f"/apis/{OLD_POOL_GROUP}/v1alpha2/inferencepools"
    api.kinds.add(collection)
    api.put(
        collection, {"metadata": {"name": "llama"}, "spec": {"selector": {"app": "vllm"}, "targetPortNumber": 8000}}
    )
    api.put(PODS, pod("a", "10.0.0.1"))
    async with followed(PoolName(OLD_POOL_GROUP, "llama")) as (seen, _):
        await until(lambda: seen.destinations == [A])


async def test_pods_without_a_pool(api: KubeApi) -> None:
    api.kinds = {PODS}
    api.put(PODS, pod("a", "10.0.0.1"))
    async with followed(PoolShape({"app": "vllm"}, [8000, 8001])) as (seen, _):
        await until(lambda: seen.destinations == [A, "a-rank-1 10.0.0.1:8001"])


async def test_crds_that_are_installed_later_are_noticed(api: KubeApi) -> None:
    api.kinds.discard(POOL)
    api.put(POOL, pool("llama"))
    api.put(PODS, pod("a", "10.0.0.1"))
    async with followed() as (seen, _):
        await until(lambda: seen.pools == [None])
        api.kinds.add(POOL)
        await until(lambda: seen.destinations == [A])


async def test_more_pods_than_fit_on_a_page(api: KubeApi) -> None:
    api.put(POOL, pool("llama"))
    for number in range(1100):
        api.put(PODS, pod(f"p{number}", f"10.1.{number // 250}.{number % 250}"))
    async with followed() as (seen, _):
        await until(lambda: len(seen.destinations) == 1100)
    assert sum("continue=" in path for _, path in api.requests) == 2


async def test_thousand_pods_that_change_at_once_are_published_together(api: KubeApi) -> None:
    def address(generation: int, number: int) -> str:
        return f"10.{generation}.{number // 250}.{number % 250}"

    api.put(POOL, pool("llama"))
    for number in range(1000):
        api.put(PODS, pod(f"old-{number}", address(1, number)))
    async with followed() as (seen, _):
        await until(lambda: len(seen.destinations) == 1000 and api.watches == 2)
        told = len(seen.pools)
        for number in range(1000):
            api.put(PODS, pod(f"new-{number}", address(2, number)))
            api.delete(PODS, f"old-{number}")
        wanted = {f"new-{number}-rank-0 {address(2, number)}:8000" for number in range(1000)}
        await until(lambda: set(seen.destinations) == wanted)
        assert len(seen.pools) - told < 200, "2,000 events"
