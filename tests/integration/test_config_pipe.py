"""A configuration that comes by a pipe, as a shell's ``--config-file <(...)`` does."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.fakes.running import running_picker
from tests.fakes.upstream import running_upstreams

TEXT = "{apiVersion: llm-d.ai/v1alpha1, kind: EndpointPickerConfig, plugins: [{type: queue-scorer}]}"


async def test_pipe_is_read_once_and_not_followed(tmp_path: Path) -> None:
    pipe = tmp_path / "config.yaml"
    os.mkfifo(pipe)
    async with running_upstreams(1) as (upstream,), asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(pipe.write_text, TEXT))
        async with running_picker([upstream.name], "--config-file", str(pipe)) as picker:
            event = await picker.event(event="config_not_followed")
            assert (event["file"], event["reason"]) == (str(pipe), "it is no regular file")
            picker.child.process.send_signal(signal.SIGHUP)
            await picker.event(event="nothing_to_reload")
            assert await picker.metric("epp_config_is_current") == 1
            with pytest.raises(LookupError):
                await picker.metric("epp_no_such_metric")
