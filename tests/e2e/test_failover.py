"""One of three model servers is killed under load, and comes back."""

import asyncio
import contextlib
import datetime as dt
import itertools
from dataclasses import dataclass, field

import aiohttp
import pytest
from soak.servers import ServerProcess

from epp.demo.envoy import BodyMode
from epp.demo.parts import HOST
from epp.demo.process import free_ports
from tests.fakes.running import RunningPicker, running_envoy, running_picker

CLIENTS = 24
WINDOW = 40
"""Decisions over which a share is looked at."""
MODEL = "tiny"


@dataclass
class Load:
    """Clients that send one request after the other; no two prompts have anything in common."""

    url: str
    statuses: dict[str, int | None] = field(default_factory=dict)
    """By request id; ``None`` for an answer that broke off."""
    is_over: bool = False

    async def run(self) -> None:
        """Send requests until it is over."""
        numbers = itertools.count()
        async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(self._client(http, numbers))

    async def _client(self, http: aiohttp.ClientSession, numbers: "itertools.count[int]") -> None:
        while not self.is_over:
            number = next(numbers)
            request_id = f"request-{number}"
            body = {"model": MODEL, "prompt": f"{number} " * 50, "max_tokens": 10}
            self.statuses[request_id] = None
            with contextlib.suppress(aiohttp.ClientError):
                async with http.post(
                    f"{self.url}/v1/completions", json=body, headers={"x-request-id": request_id}
                ) as response:
                    await response.read()
                    self.statuses[request_id] = response.status
            await asyncio.sleep(0.005)


@dataclass
class Log:
    """What a picker says about one endpoint, in its order."""

    picker: RunningPicker
    endpoint: str
    seen: int = 0

    async def wait_for(self, event: str) -> int:
        """Return the place of the next event of this kind."""
        async with asyncio.timeout(20):
            while True:
                for place in range(self.seen, len(self.picker.events)):
                    line = self.picker.events[place]
                    if line.get("event") == event and line["endpoint"] == self.endpoint:
                        self.seen = place + 1
                        return place
                await asyncio.sleep(0.02)

    def routed(self, begin: int, end: int | None = None) -> list[dict[str, str]]:
        """Return the decisions between two places."""
        return [line for line in self.picker.events[begin:end] if line.get("event") == "request_routed"]

    def share(self, decisions: list[dict[str, str]]) -> float:
        """Return the endpoint's share of some decisions."""
        return sum(line["endpoint"] == self.endpoint for line in decisions) / len(decisions)


async def killed(server: ServerProcess, log: Log) -> int:
    """Kill a server; from the moment that the picker notices nothing goes there, and that is within two seconds.

    Returns the place in the log where it notices.
    """
    log.seen = len(log.picker.events)
    killed_at = dt.datetime.now(dt.UTC)
    await server.kill()
    noticed = await log.wait_for("endpoint_unready")
    await asyncio.sleep(2.0)
    assert dt.datetime.fromisoformat(log.picker.events[noticed]["timestamp"]) - killed_at < dt.timedelta(seconds=2)
    afterwards = log.routed(noticed)
    assert len(afterwards) > CLIENTS
    assert log.share(afterwards) == 0
    return noticed


async def returned(server: ServerProcess, log: Log) -> None:
    """Start a server again; it takes its share, and at no time much more."""
    await server.start()
    ready = await log.wait_for("endpoint_ready")
    async with asyncio.timeout(60):
        while len(log.routed(ready)) < 10 * WINDOW:
            await asyncio.sleep(0.05)
    decisions = log.routed(ready)[: 10 * WINDOW]
    windows = [decisions[begin : begin + WINDOW] for begin in range(0, len(decisions), WINDOW)]
    assert all(log.share(window) <= 0.6 for window in windows)
    assert log.share(decisions[-5 * WINDOW :]) == pytest.approx(1 / 3, abs=0.15)


async def test_server_that_is_killed_loses_only_what_was_sent_to_it_and_comes_back_without_a_spike() -> None:
    servers = [ServerProcess(port, ("--model", MODEL)) for port in free_ports(HOST, [0, 0, 0])]
    victim = servers[2]
    async with contextlib.AsyncExitStack() as stack:
        for server in servers:
            await server.start()
            stack.push_async_callback(server.kill)
        names = [server.name for server in servers]
        picker = await stack.enter_async_context(running_picker(names, "--refresh-metrics-interval", "1s"))
        url = await stack.enter_async_context(running_envoy(picker, BodyMode.FULL_DUPLEX))
        log, load = Log(picker, f"default/{victim.name}"), Load(url)
        async with asyncio.TaskGroup() as group:
            group.create_task(load.run())
            await asyncio.sleep(2.0)
            noticed = await killed(victim, log)
            await returned(victim, log)
            load.is_over = True
    sent_there = {line["request_id"] for line in log.routed(0, noticed) if line["endpoint"] == log.endpoint}
    lost = {request_id for request_id, status in load.statuses.items() if status != 200}
    assert lost <= sent_there
    assert len(load.statuses) > 10 * WINDOW
