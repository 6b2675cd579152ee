"""The cluster of ``docs/kubernetes-guide.md`` as far as it runs here: its servers, pool, canary and priorities.

The picker is started with what the chart renders from the page's values, against an API server of our own, with an
Envoy in place of the gateway.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from epp.demo import parts
from epp.demo.envoy import BodyMode
from epp.demo.parts import HOST
from epp.demo.process import free_ports
from tests.charts.guide import HELM_COMMANDS, MANIFESTS
from tests.charts.rendering import NAMESPACE, Json, Release, release
from tests.fakes.kube_api import CORE, OLD_GROUP, POOLS, KubeApi, pod
from tests.fakes.running import PATIENCE_S, RunningPicker, running_envoy, starting_picker
from tests.integration.test_chart_starts import written

REWRITES, OBJECTIVES = f"{OLD_GROUP}/inferencemodelrewrites", f"{OLD_GROUP}/inferenceobjectives"
REQUESTS = 200
UNCHANGED = 80
"""Requests in a row without a rewrite that mean that there are none: 0.9 ** 80 is 0.0002."""


@dataclass
class Walk:
    """Where the guide has got to."""

    api: KubeApi
    picker: RunningPicker
    http: aiohttp.ClientSession

    async def ask(self, prompt: str = "hello", tokens: int = 1, **headers: str) -> tuple[int, Any]:
        """Return status and headers of an answer."""
        body = {"model": "tiny", "prompt": prompt, "max_tokens": tokens}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.http.post("/v1/completions", json=body, headers=named) as response:
            await response.read()
            return response.status, response.headers

    async def rewrites(self, requests: int) -> float:
        """Send requests; returns how many were rewritten."""
        before = await self.picker.metric("epp_model_rewrites_total")
        for number in range(requests):
            assert (await self.ask(f"story {number}"))[0] == 200
        return await self.picker.metric("epp_model_rewrites_total") - before


def rendered(values_file: str) -> Release:
    """What the page's command renders whose last file of values is this."""
    command, *_ = [one for one in HELM_COMMANDS if one.files[-1:] == [values_file] and one.release == "llm"]
    return release(command.chart_name, command.values, needed=False, name=command.release)


def server_flags() -> Sequence[str]:
    args = MANIFESTS["servers.yaml: 0"]["spec"]["template"]["spec"]["containers"][0]["args"]
    return [arg for arg in args if not arg.startswith(("--host", "--port"))]


def put(api: KubeApi, collection: str, manifest: Json) -> None:
    api.put(collection, {"metadata": {"name": manifest["metadata"]["name"]}, "spec": manifest["spec"]})


@pytest.fixture
async def walk(api: KubeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Walk]:
    """The cluster as it is after the first request of the guide, its three servers behind three ports of one pod."""
    monkeypatch.setenv("NAMESPACE", NAMESPACE)
    api.kinds |= {REWRITES, OBJECTIVES}
    installed = rendered("llm-values.yaml")
    ports = free_ports(HOST, [0, 0, 0])
    pool = installed.the("InferencePool")
    pool["spec"]["targetPorts"] = [{"number": port} for port in ports]
    put(api, f"{POOLS}/inferencepools", pool)
    labels = MANIFESTS["servers.yaml: 0"]["spec"]["template"]["metadata"]["labels"]
    api.put(f"{CORE}/pods", pod("tiny-5c6f8d7b9-k2x4p", HOST, labels=labels))
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(parts.running_model_servers(ports, flags=server_flags()))
        picker = await stack.enter_async_context(starting_picker(*written(installed, tmp_path)))
        url = await stack.enter_async_context(running_envoy(picker, BodyMode.FULL_DUPLEX))
        await picker.wait_until_ready()
        http = aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=0))
        yield Walk(api, picker, await stack.enter_async_context(http))


async def test_answer_names_the_pod_and_the_same_prompt_goes_there_again(walk: Walk) -> None:
    prompt = "What does an endpoint picker do, and why would I want one? " * 4
    pods = [(await walk.ask(prompt))[1]["x-inference-pod"] for _ in range(3)]
    assert pods[0].startswith("tiny-5c6f8d7b9-k2x4p-rank-")
    assert len(set(pods)) == 1


async def test_canary_takes_its_share_and_none_after_it_is_rolled_back(walk: Walk) -> None:
    canary = MANIFESTS["canary.yaml: 0"]
    put(walk.api, REWRITES, canary)
    async with asyncio.timeout(PATIENCE_S):
        while not await walk.rewrites(10):
            pass
    assert 4 <= await walk.rewrites(REQUESTS) <= 45, "a tenth of them, within four standard deviations"
    walk.api.delete(REWRITES, canary["metadata"]["name"])
    async with asyncio.timeout(PATIENCE_S):
        while await walk.rewrites(UNCHANGED):
            pass
    assert (await walk.ask("forced", x_gateway_model_name_rewrite="tiny-v2"))[0] == 200
    assert await walk.picker.event(event="request_routed", client_model="tiny", model="tiny-v2")


async def test_batch_is_refused_while_the_pool_is_full_and_others_are_not(walk: Walk) -> None:
    for objective in rendered("priorities-values.yaml").all("InferenceObjective"):
        put(walk.api, OBJECTIVES, objective)
    async with asyncio.TaskGroup() as group:
        load = [group.create_task(walk.ask(f"story {number}", 500)) for number in range(120)]
        async with asyncio.timeout(PATIENCE_S):
            while (batch := await walk.ask(x_gateway_inference_objective="batch"))[0] != 429:
                await asyncio.sleep(0.05)
        assert batch[1]["x-llm-d-request-dropped-reason"] == "rejected-saturated"
        interactive = walk.ask(x_gateway_inference_objective="interactive", x_request_id="interactive")
        answer = group.create_task(interactive)
        await walk.picker.event(event="request_routed", request_id="interactive")
        for task in load:
            task.cancel()
        assert (await answer)[0] == 200
    assert await walk.picker.metric("epp_request_errors_total") >= 1
