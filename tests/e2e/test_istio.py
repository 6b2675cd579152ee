"""The Istio EnvoyFilters of config/istio, applied to an Envoy that is configured as Istio configures its gateways.

There is no Istio here: what is tested is that the real Envoy takes the patched route, and that requests go through.
"""

import contextlib
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from epp.demo import parts
from epp.demo.envoy import BodyMode, Listener, envoy_config
from epp.demo.parts import HOST
from epp.demo.process import free_ports
from tests.fakes.running import RunningPicker, running_picker
from tests.fakes.upstream import DESTINATION, NAME_HEADER, running_upstreams

FILTERS = sorted((Path(__file__).parents[2] / "config" / "istio").glob("*.yaml"))
EXT_PROC = "envoy.filters.http.ext_proc"


def gateway_config(file: Path, *, port: int, picker_port: int) -> dict[str, Any]:
    """What Istio's gateway has: a filter that does nothing by itself, and the route's own settings, from the file."""
    route_patch, listener_patch = yaml.safe_load(file.read_text())["spec"]["configPatches"]
    config = envoy_config([Listener(port=port, request_body=BodyMode.FULL_DUPLEX)], picker_ports=[picker_port])
    (listener,), clusters = config["static_resources"]["listeners"], config["static_resources"]["clusters"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    stub = manager["http_filters"][0]
    stub["name"] = EXT_PROC
    stub["typed_config"] |= {
        "grpc_service": {"envoy_grpc": {"cluster_name": "dummy"}},
        "failure_mode_allow": True,
        "processing_mode": {"request_header_mode": "SKIP", "response_header_mode": "SKIP"},
    }
    (route,) = manager["route_config"]["virtual_hosts"][0]["routes"]
    assert route_patch["applyTo"] == "HTTP_ROUTE"
    route |= route_patch["patch"]["value"]
    listener |= listener_patch["patch"]["value"]
    picker = route["typed_per_filter_config"][EXT_PROC]["overrides"]["grpc_service"]["envoy_grpc"]["cluster_name"]
    clusters.append(clusters[1] | {"name": "dummy"})
    clusters[1]["name"] = picker
    return config


@contextlib.asynccontextmanager
async def running_gateway(file: Path, picker: RunningPicker) -> AsyncIterator[str]:
    (port,) = free_ports(HOST, [0])
    config = gateway_config(file, port=port, picker_port=picker.ports.ext_proc)
    async with parts.running_configured_envoy(config, ports=[port]):
        yield f"http://{HOST}:{port}"


@pytest.mark.parametrize("file", FILTERS, ids=lambda file: str(file.name))
async def test_route_that_an_envoyfilter_has_set_to_buffered_is_picked(file: Path) -> None:
    body = b'{"model": "tiny", "prompt": "%s"}' % (b"x" * 1_200_000)
    async with (
        running_upstreams(2) as upstreams,
        running_picker([upstream.name for upstream in upstreams]) as picker,
        running_gateway(file, picker) as url,
        aiohttp.ClientSession() as http,
    ):
        async with http.post(f"{url}/v1/completions", data=io.BytesIO(body)) as response:
            assert response.status == 200
            await response.read()
        (upstream,) = [one for one in upstreams if one.bodies]
        assert upstream.bodies == [body]
        assert upstream.heads[-1][DESTINATION] == response.headers[NAME_HEADER]
        await picker.wait_for_metric("epp_streams_open", 0)
        assert await picker.metric('epp_streams_total{request_body="buffered",response_body="none"}') == 1


def test_there_is_one_for_either_gateway() -> None:
    assert len(FILTERS) == 2
