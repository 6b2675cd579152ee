"""``epp serve`` as a process: what it follows, and what it shows."""

import asyncio
import signal
from pathlib import Path

import aiohttp
import grpc
import grpc.aio

from epp.demo.parts import HOST
from tests.fakes.calls import INSECURE, destination, names, process
from tests.fakes.running import PATIENCE_S, running_picker
from tests.fakes.upstream import Upstream


def file_config(file: Path) -> str:
    return (
        "{apiVersion: llm-d.ai/v1alpha1, kind: EndpointPickerConfig, "
        f"plugins: [{{type: file-discovery, parameters: {{path: {file}, watchFile: true}}}}, {{type: queue-scorer}}], "
        "dataLayer: {discovery: {pluginRef: file-discovery}}}"
    )


async def test_service_is_ready_only_after_the_first_scrape_of_a_discovered_pool(
    upstreams: list[Upstream], tmp_path: Path
) -> None:
    file = tmp_path / "endpoints.yaml"
    file.write_text(f"endpoints: [{{name: slow, address: {HOST}, port: {upstreams[0].port}}}]")
    upstreams[0].page_delay_s = 0.4
    async with running_picker([], "--config-text", file_config(file)) as picker:
        assert await picker.metric("epp_endpoints_ready") == 1


async def test_pool_file_is_followed(upstreams: list[Upstream], tmp_path: Path) -> None:
    file = tmp_path / "endpoints.yaml"

    def write(*of: Upstream) -> None:
        entries = [f"{{name: pod-{one.port}, address: {HOST}, port: {one.port}}}" for one in of]
        file.write_text(f"endpoints: [{', '.join(entries)}]")

    write(upstreams[0])
    config = file_config(file)
    async with (
        running_picker([], INSECURE, "--config-text", config) as picker,
        grpc.aio.insecure_channel(f"{HOST}:{picker.ports.ext_proc}") as channel,
    ):
        assert await destination(process(channel)) == upstreams[0].name
        file.write_text("endpoints: [")
        event = await picker.event(event="endpoints_file_broken")
        assert event["kept"] == "last good endpoints"
        assert await destination(process(channel)) == upstreams[0].name
        write(upstreams[1])
        await picker.event(event="endpoint_ready", endpoint=f"default/pod-{upstreams[1].port}")
        assert await destination(process(channel)) == upstreams[1].name


async def test_engines_that_publish_nothing_keep_nobody_waiting(upstreams: list[Upstream]) -> None:
    config = Path(__file__).parents[2] / "config" / "precise.yaml"
    async with running_picker([upstreams[0].name], "--config-file", str(config)) as picker:
        event = await picker.event(event="prefix_source_changed")
        assert (event["is_exact"], event["reason"]) == (False, "its events are not heard")
        assert await picker.metric("epp_prefix_is_exact") == 0
        picker.child.process.terminate()
        async with asyncio.timeout(PATIENCE_S):
            await picker.event(event="stopped")


PICKERS = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins: [{{type: {picker}}}, {{type: header-based-testing-filter}}]
"""


async def test_configuration_file_is_followed_and_a_broken_one_refused(
    upstreams: list[Upstream], tmp_path: Path
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(PICKERS.format(picker="random-picker"))
    async with running_picker([upstreams[0].name], "--config-file", str(file)) as picker:
        file.write_text(PICKERS.format(picker="max-score-picker"))
        event = await picker.event(event="config_reloaded")
        assert (event["added"], event["removed"]) == (["max-score-picker"], ["random-picker"])
        assert await picker.metric("epp_config_is_current") == 1
        file.write_text(PICKERS.format(picker="best-picker"))
        event = await picker.event(event="config_refused")
        (problem,) = event["problems"]
        assert problem.startswith(f"--config-file {file}: plugins[0].type: plugin type `best-picker` is not installed")
        assert await picker.metric("epp_config_is_current") == 0
        file.write_text(PICKERS.format(picker="max-score-picker"))
        picker.child.process.send_signal(signal.SIGHUP)
        await picker.event(event="config_unchanged")
        assert await picker.metric("epp_config_is_current") == 1
        assert await picker.metric("epp_config_reloads_total") == 2


async def test_last_decisions_and_the_pool_are_shown(upstreams: list[Upstream]) -> None:
    async with (
        running_picker(names(upstreams), INSECURE) as picker,
        grpc.aio.insecure_channel(f"{HOST}:{picker.ports.ext_proc}") as channel,
        aiohttp.ClientSession(f"http://{HOST}:{picker.ports.metrics}") as http,
    ):
        chosen = await destination(process(channel))
        async with http.get("/debug/decisions") as response:
            (noted,) = await response.json()
        assert noted["endpoints"] == noted["profiles"][0]["picked"] == [f"default/{chosen}"]
        assert noted["profiles"][0]["weights"]["prefix-cache-scorer"] == 3
        async with http.get("/debug/decisions", params={"request_id": noted["request_id"]}) as response:
            assert await response.json() == [noted]
        for query, status in (({"request_id": "gone"}, 404), ({"limit": "many"}, 400), ({"limit": "0"}, 400)):
            async with http.get("/debug/decisions", params=query) as response:
                assert response.status == status
        async with http.get("/debug/endpoints") as response:
            shown = await response.json()
        assert {one["name"] for one in shown} == set(names(upstreams))
        assert all(one["ready"] for one in shown)
        assert {one["name"]: one["in_flight"]["requests"] for one in shown}[chosen] == 1
