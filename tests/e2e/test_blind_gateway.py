"""A gateway that shows the picker nothing of the answers."""

import asyncio

import aiohttp

from epp.demo import parts
from epp.demo.envoy import Listener, envoy_config
from epp.demo.parts import HOST
from epp.demo.process import free_ports
from tests.fakes.running import running_picker
from tests.fakes.upstream import running_upstreams

REQUESTS = 30


async def test_burst_is_spread_and_nothing_stays_in_flight() -> None:
    (port,) = free_ports(HOST, [0])
    async with running_upstreams(3) as upstreams, running_picker([one.name for one in upstreams]) as picker:
        config = envoy_config([Listener(port=port)], picker_ports=[picker.ports.ext_proc])
        (listener,) = config["static_resources"]["listeners"]
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        modes = manager["http_filters"][0]["typed_config"]["processing_mode"]
        modes |= dict.fromkeys(("response_header_mode", "response_trailer_mode"), "SKIP")
        async with parts.running_configured_envoy(config, ports=[port]), aiohttp.ClientSession() as http:

            async def send(number: int) -> int:
                body = b'{"model": "m", "prompt": "%d"}' % number
                async with http.post(f"http://{HOST}:{port}/v1/completions", data=body) as response:
                    await response.read()
                    return response.status

            statuses = await asyncio.gather(*map(send, range(REQUESTS)))
        assert set(statuses) == {200}
        assert sum(len(one.bodies) for one in upstreams) == REQUESTS
        shares = sorted(len(one.bodies) for one in upstreams)
        assert shares[-1] - shares[0] <= 2, shares
        await picker.wait_for_metric("epp_endpoint_requests_in_flight", 0)
        assert await picker.metric("epp_time_to_first_byte_seconds_count") == 0
