"""The configuration changes under load, behind an Envoy: no request is lost, and none is forgotten."""

import asyncio
import signal
from pathlib import Path

import pytest

from epp.demo.envoy import BodyMode
from tests.fakes.clients import CLIENTS, Load, long_answer
from tests.fakes.running import running_envoy, running_picker
from tests.fakes.upstream import running_upstreams

RELOADS = 12
BROKEN_EVERY = 4
CONFIG = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {{type: queue-scorer}}
- {{type: {scorer}}}
schedulingProfiles:
- name: default
  plugins:
  - {{pluginRef: queue-scorer, weight: {weight}}}
  - {{pluginRef: {scorer}}}
"""
BROKEN = CONFIG.format(scorer="no-such-scorer", weight=1)


def text(number: int) -> str:
    """Return a configuration whose weights are not those of the one before, at even numbers nor its plugins."""
    return CONFIG.format(scorer=("prefix-cache-scorer", "lora-affinity-scorer")[number // 2 % 2], weight=1 + number)


@pytest.mark.parametrize("mode", [BodyMode.BUFFERED, BodyMode.FULL_DUPLEX])
async def test_no_request_is_lost_when_the_configuration_changes(mode: BodyMode, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text(0))
    async with (
        running_upstreams(2) as upstreams,
        running_picker([one.name for one in upstreams], "--config-file", str(file)) as picker,
        running_envoy(picker, mode) as url,
    ):
        for upstream in upstreams:
            upstream.event_every_s, upstream.events = 0.1, long_answer(10)
        load = Load(url)
        async with asyncio.TaskGroup() as group:
            group.create_task(load.run())
            for number in range(1, RELOADS + 1):
                await asyncio.sleep(0.2)
                file.write_text(BROKEN if number % BROKEN_EVERY == 0 else text(number))
                picker.child.process.send_signal(signal.SIGHUP)
                await picker.wait_for_metric("epp_config_reloads_total", number)
            load.is_over = True
        assert set(load.statuses) == {200}, load.statuses
        assert load.statuses[200] > 5 * CLIENTS
        refused = RELOADS // BROKEN_EVERY
        assert await picker.metric('epp_config_reloads_total{result="refused"}') == refused
        assert await picker.metric('epp_config_reloads_total{result="applied"}') == RELOADS - refused
        await picker.wait_for_metric("epp_endpoint_requests_in_flight", 0)
        assert await picker.metric("epp_plugin_errors_total") == 0
