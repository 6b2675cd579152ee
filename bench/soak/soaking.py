"""One soak: everything is started, disturbed while clients send requests, and looked at."""

import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from soak.clients import Clients
from soak.readings import (
    ACCESS_FORMAT,
    metric_sum,
    open_descriptors,
    read_endings,
    read_envoy,
    read_page,
    resident_bytes,
)
from soak.reloads import Reloads
from soak.servers import Pool, running_pool
from soak.verdict import Picker, Report, Sample

from epp.demo.envoy import BodyMode, Json, Listener, envoy_config
from epp.demo.parts import HOST, PickerPorts, running_configured_envoy, running_picker
from epp.demo.process import free_ports

SERVERS = 4
SAMPLE_EVERY_S = 0.5
STALLED_S = 60.0
"""Without a request that ends, the run has failed."""
SETTLED_S = 20.0
"""How long what is left may take to go."""
CALM_S = 12.0
"""Until the last restart and the last file have been seen, and Envoy has written its log, which it does every 10 s."""
LEFT_OVER = (
    *("epp_streams_open", "epp_requests_in_flight", "epp_body_bytes_held", "epp_endpoint_requests_in_flight"),
    *("epp_session_errors_total", "epp_plugin_errors_total", "epp_request_errors_total"),
)
OPEN = LEFT_OVER[:4]


@dataclass(slots=True)
class World:
    """What runs, and where it is asked."""

    pid: int
    page: str
    admin: str
    access_log: Path
    pool: Pool
    reloads: Reloads
    clients: Clients
    http: aiohttp.ClientSession
    log: list[Mapping[str, Any]]
    samples: list[Sample] = field(default_factory=list)
    warm_descriptors: int = 0

    async def follow(self, requests: int, stop: asyncio.Event) -> None:
        """Note memory again and again, and stop everything when so many requests have been sent.

        Raises `TimeoutError` when there are no more.
        """
        last, moved_at = 0, time.monotonic()
        while last < requests:
            last_before, last = last, (await read_envoy(self.http, self.admin)).begun
            if last > last_before:
                moved_at = time.monotonic()
            elif time.monotonic() - moved_at > STALLED_S:
                raise TimeoutError(f"no request for {STALLED_S:g} s after {last}")
            self.samples.append(Sample(last, resident_bytes(self.pid)))
            if not self.warm_descriptors and last * 10 >= requests:
                self.warm_descriptors = open_descriptors(self.pid)
            await asyncio.sleep(SAMPLE_EVERY_S)
        stop.set()

    async def settle(self) -> None:
        """Return when nothing is open any more, or that takes too long: the report then says so."""
        await asyncio.sleep(CALM_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLED_S):
                page = await read_page(self.http, self.page)
                while any(metric_sum(page, name) for name in OPEN):
                    await asyncio.sleep(0.2)
                    page = await read_page(self.http, self.page)


async def soak(transport: str, requests: int) -> Report:
    """Send so many requests through an Envoy and a picker on this transport; returns what is found."""
    started = time.monotonic()
    async with running_world(transport) as world:
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(world.follow(requests, stop))
            group.create_task(world.clients.send(stop))
            group.create_task(world.clients.vanish_singly(stop))
            group.create_task(world.clients.vanish_together(stop))
            group.create_task(world.pool.keep_restarting(stop))
            group.create_task(world.reloads.keep_changing(stop))
        seconds = time.monotonic() - started
        await world.settle()
        return await report(world, transport, seconds)


async def report(world: World, transport: str, seconds: float) -> Report:
    """Return what is to be said of a run that is over."""
    page = await read_page(world.http, world.page)
    endings = await asyncio.to_thread(world.access_log.read_text)
    return Report(
        transport=transport,
        seconds=seconds,
        envoy=await read_envoy(world.http, world.admin),
        picker=_picker(page),
        told=dict(world.clients.told),
        left=world.clients.left,
        endings=read_endings(endings),
        restarts=world.pool.restarts,
        kills=world.pool.kills,
        valid=world.reloads.valid,
        broken=world.reloads.broken,
        samples=world.samples,
        descriptors=(world.warm_descriptors, open_descriptors(world.pid)),
        log=world.log,
    )


@contextlib.asynccontextmanager
async def running_world(transport: str) -> AsyncIterator[World]:
    """Run model servers, a picker and an Envoy until the context closes."""
    ext_proc, health, metrics, admin, plain, streamed = free_ports(HOST, [0] * 6)
    log: list[Mapping[str, Any]] = []
    async with contextlib.AsyncExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="epp-soak-")))
        pool = await parts.enter_async_context(running_pool(SERVERS, folder / "endpoints.json"))
        reloads = Reloads(folder / "config.yaml", pool.file)
        reloads.begin()
        flags = ("--config-file", str(reloads.file), "--transport", transport, "--v=1")
        ports = PickerPorts(ext_proc, health, metrics)
        picker = await parts.enter_async_context(
            running_picker([], ports=ports, flags=flags, on_line=lambda line: log.append(_event(line)))
        )
        listeners = [Listener(port=plain), Listener(port=streamed, response_body=BodyMode.FULL_DUPLEX)]
        config = _watched(envoy_config(listeners, picker_ports=[ext_proc]), admin, folder / "access.log")
        await parts.enter_async_context(running_configured_envoy(config, ports=[plain, streamed, admin]))
        http = await parts.enter_async_context(aiohttp.ClientSession())
        yield World(
            pid=picker.process.pid,
            page=f"http://{HOST}:{metrics}/metrics",
            admin=f"http://{HOST}:{admin}",
            access_log=folder / "access.log",
            pool=pool,
            reloads=reloads,
            clients=Clients(plain, streamed),
            http=http,
            log=log,
        )


def _watched(config: Json, admin: int, access_log: Path) -> Json:
    """Return Envoy's configuration with an admin port, and a log of each request that failed or was broken off."""
    access_log.touch()
    bad = {"comparison": {"op": "GE", "value": {"default_value": 300, "runtime_key": "soak"}}}
    kind = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
    logger = {
        "name": "file",
        "filter": {"or_filter": {"filters": [{"status_code_filter": bad}, {"response_flag_filter": {}}]}},
        "typed_config": {
            "@type": kind,
            "path": str(access_log),
            "log_format": {"text_format_source": {"inline_string": ACCESS_FORMAT}},
        },
    }
    for listener in config["static_resources"]["listeners"]:
        listener["filter_chains"][0]["filters"][0]["typed_config"]["access_log"] = [logger]
    return config | {"admin": {"address": {"socket_address": {"address": HOST, "port_value": admin}}}}


def _picker(page: str) -> Picker:
    """Return what a picker's metrics page says of the whole run."""
    results = ("applied", "refused")
    return Picker(
        received=int(metric_sum(page, "epp_requests_total")),
        routed=int(metric_sum(page, "epp_decision_duration_seconds_count")),
        streams=int(metric_sum(page, "epp_streams_total")),
        left_over={name: metric_sum(page, name) for name in LEFT_OVER},
        reloads={one: int(metric_sum(page, f'epp_config_reloads_total{{result="{one}"}}')) for one in results},
    )


def _event(line: str) -> Mapping[str, Any]:
    """Return a log line; one that is no JSON is an error."""
    try:
        event: dict[str, Any] = json.loads(line)
    except json.JSONDecodeError:
        return {"level": "error", "event": "not_json", "text": line, "timestamp": "1970-01-01T00:00:00Z"}
    return event
