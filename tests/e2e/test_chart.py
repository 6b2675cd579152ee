"""The Envoy of the chart ``standalone``, run as it is but for its ports."""

import aiohttp
import yaml

from epp.demo import parts
from epp.demo.parts import HOST
from epp.demo.process import free_ports
from tests.charts.rendering import Json, release
from tests.fakes.running import running_picker
from tests.fakes.upstream import DESTINATION, NAME_HEADER, running_upstreams

ADMIN = 19000


def envoy_config(*, port: int, picker_port: int, metrics_port: int, admin_port: int) -> Json:
    installed = release("standalone", {"proxy": {"port": port}, "inferenceExtension": {"extProcPort": picker_port}})
    text = installed.the("ConfigMap", "llm-epp-envoy")["data"]["envoy.yaml"]
    config: Json = yaml.safe_load(text.replace("19001", str(metrics_port)).replace(str(ADMIN), str(admin_port)))
    return config


async def test_request_is_picked_and_envoy_says_that_it_is_ready_and_what_it_counts() -> None:
    port, metrics_port, admin_port = free_ports(HOST, [0, 0, 0])
    async with running_upstreams(2) as upstreams, running_picker([upstream.name for upstream in upstreams]) as picker:
        config = envoy_config(
            port=port, picker_port=picker.ports.ext_proc, metrics_port=metrics_port, admin_port=admin_port
        )
        async with parts.running_configured_envoy(config, ports=[port, metrics_port]), aiohttp.ClientSession() as http:
            body = b'{"model": "tiny", "prompt": "hello"}'
            async with http.post(f"http://{HOST}:{port}/v1/completions", data=body) as response:
                assert response.status == 200
                served_by = response.headers[NAME_HEADER]
            assert [one.heads[-1][DESTINATION] for one in upstreams if one.bodies] == [served_by]
            metrics = f"http://{HOST}:{metrics_port}"
            async with http.get(f"{metrics}/ready") as response:
                assert (response.status, await response.text()) == (200, "LIVE\n")
            async with http.get(f"{metrics}/stats/prometheus") as response:
                assert "envoy_cluster_upstream_rq" in await response.text()
            async with http.get(f"{metrics}/config_dump") as response:
                assert response.status == 404
