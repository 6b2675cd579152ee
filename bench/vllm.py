"""Are the picker's prefix hits real? Two real vLLM servers behind Envoy and the picker say so: ``make e2e-vllm``.

Conversations that share system prompts are sent through Envoy with several profiles, each with prompts of its own. What
the picker believed is read from its log, what was true from vLLM's own counters
(``vllm:prefix_cache_queries_total`` and ``_hits_total``, in tokens) and from ``usage.cached_tokens``.
"""

import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from vllm_server import prepare, running_vllm

from epp.demo import StackOptions, running_stack
from epp.demo.counters import PrefixCounters, prefix_counters
from epp.demo.parts import HOST
from epp.demo.stack import MODEL

ROOT = Path(__file__).parents[1]
VENV = ROOT / ".venv-vllm"
REPLICAS = 2
SYSTEM_PROMPTS = 10
SYSTEM_PROMPT_WORDS = 150
CONVERSATIONS = 240
TURNS = 3
CLIENTS = 4
RESTART_CLIENTS = 24
"""Enough of them that a server which has nothing gets some, although another one has all that they ask for."""
OUTPUT_TOKENS = 8
SCRAPE_S = 1.0
MOST_ERROR = {"default": 0.05, "precise": 0.01}
"""Of predicted hits, as a share of all prompt tokens."""
PROFILES = ("random", *MOST_ERROR)
WORDS = ("gateway", "replica", "prompt", "answer", "cache", "request", "server", "queue", "block", "system", "short")


@dataclass(slots=True)
class Run:
    """One profile's run: what the picker believed, what vLLM found."""

    profile: str
    believed: dict[str, float] = field(default_factory=dict)
    """Request id -> share of the prompt that the picker took to be cached where it sent it; empty for `random`."""
    usages: dict[str, dict[str, Any]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    served: Counter[str] = field(default_factory=Counter)
    endpoints: dict[str, str] = field(default_factory=dict)
    """Request id -> where it went."""
    events: list[dict[str, Any]] = field(default_factory=list)
    """What else the picker logged."""
    exported_errors: list[float] = field(default_factory=list)
    """Predicted minus observed hits of each endpoint, as a share of prompt tokens: what the picker says at the end."""
    round: int = 0
    """How often all conversations were held before; what they say does not depend on it."""
    counters: PrefixCounters = field(default_factory=lambda: PrefixCounters(0, 0))
    duration_s: float = 0.0

    @property
    def believed_ratio(self) -> float:
        """Share of all prompt tokens that the picker took to be cached."""
        tokens: dict[str, int] = {request: usage["prompt_tokens"] for request, usage in self.usages.items()}
        return sum(self.believed[request] * count for request, count in tokens.items()) / sum(tokens.values())

    @property
    def errors_of_belief(self) -> list[float]:
        """Believed minus found hits of each server over all of its requests, as a share of their prompt tokens."""
        return [self._error_of_belief(endpoint) for endpoint in sorted(self.served)]

    def _error_of_belief(self, endpoint: str) -> float:
        usages = {request: usage for request, usage in self.usages.items() if self.endpoints[request] == endpoint}
        tokens = sum(int(usage["prompt_tokens"]) for usage in usages.values())
        believed: float = sum(self.believed[request] * usage["prompt_tokens"] for request, usage in usages.items())
        return (believed - sum(map(cached_tokens, usages.values()))) / tokens

    @property
    def agreement(self) -> float:
        """Share of requests for which belief and truth agree: cached tokens where a hit was expected, else none."""
        agree = [(self.believed[request] > 0) == (cached_tokens(usage) > 0) for request, usage in self.usages.items()]
        return sum(agree) / len(agree)

    def note_line(self, line: str) -> None:
        """Take what the picker believed from a line of its log."""
        event = json.loads(line)
        if event["event"] != "request_routed":
            self.events.append(event)
        else:
            self.served[event["endpoint"]] += 1
            self.endpoints[event["request_id"]] = event["endpoint"]
            if event["prefix_match_ratio"] is not None:
                self.believed[event["request_id"]] = event["prefix_match_ratio"]

    def row(self) -> str:
        """Return the Markdown row."""
        split = " / ".join(str(count) for _, count in sorted(self.served.items()))
        belief = f"{self.believed_ratio:.1%} | {self.agreement:.1%}" if self.believed else "- | -"
        return (
            f"| {self.profile} | {len(self.usages)} | {len(self.errors)} | {split} | {self.counters.hit_ratio:.1%} "
            f"| {belief} | {self.duration_s:.1f} s |"
        )


def cached_tokens(usage: dict[str, Any]) -> int:
    """Return what an answer says was found in the cache."""
    return int((usage["prompt_tokens_details"] or {}).get("cached_tokens") or 0)


async def converse(http: aiohttp.ClientSession, url: str, system: str, *, run: Run, name: str) -> None:
    """Hold one conversation, each turn with all before it."""
    messages = [{"role": "system", "content": system}]
    for turn in range(TURNS):
        messages.append({"role": "user", "content": f"Question {turn} of {name}: why?"})
        request_id = f"{name}-{turn}-{run.round}"
        body = {"model": MODEL, "messages": messages, "max_tokens": OUTPUT_TOKENS, "ignore_eos": True}
        async with http.post(f"{url}/v1/chat/completions", json=body, headers={"x-request-id": request_id}) as response:
            text = await response.text()
        if response.status != 200:  # noqa: PLR2004 - OK
            run.errors.append(f"{request_id}: status {response.status}: {text[:200]}")
            return
        answer = json.loads(text)
        run.usages[request_id] = answer["usage"]
        messages.append({"role": "assistant", "content": answer["choices"][0]["message"]["content"]})


async def drive(url: str, run: Run, *, clients: int = CLIENTS) -> None:
    """Hold all conversations, some at a time, in an order that does not depend on the profile."""
    rng = random.Random(7)  # noqa: S311 - made-up text
    systems = [" ".join(rng.choice(WORDS) for _ in range(SYSTEM_PROMPT_WORDS)) for _ in range(SYSTEM_PROMPTS)]
    todo = [(f"{run.profile}-{number}", rng.choice(systems)) for number in range(CONVERSATIONS)]

    async def client(http: aiohttp.ClientSession) -> None:
        while todo:
            name, system = todo.pop()
            # The profile's name stands first, so that the two runs share no cache.
            await converse(http, url, f"{run.profile}: {system}", run=run, name=name)

    async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as tasks:
        for _ in range(clients):
            tasks.create_task(client(http))


async def measure(profile: str, servers: list[str]) -> Run:
    """Run the conversations through Envoy with a profile of ``config/``."""
    run = Run(profile)
    async with running_stack(options_for(profile, servers, run)) as stack:
        before, started = await prefix_counters(servers), time.monotonic()
        await drive(stack.url, run)
        run.duration_s = time.monotonic() - started
        run.counters = await prefix_counters(servers) - before
        await asyncio.sleep(2 * SCRAPE_S)
        run.exported_errors = await prediction_errors(stack.picker_ports.metrics)
    return run


def options_for(profile: str, servers: list[str], run: Run) -> StackOptions:
    """Return what to start for a run with a profile."""
    flags = ("--config-text", config_over(profile, servers))
    return StackOptions(endpoints=servers, is_pool_in_config=True, picker_flags=flags, on_picker_line=run.note_line)


def config_over(profile: str, servers: Sequence[str]) -> str:
    """Return a profile of ``config/`` over these servers, which it writes to a file of their own.

    They are named as ranks: each has ports of its own for its events.
    """
    config = yaml.safe_load((ROOT / "config" / f"{profile}.yaml").read_text())
    places = [server.split(":") for server in servers]
    pool = [{"name": f"vllm-rank-{i}", "address": host, "port": port} for i, (host, port) in enumerate(places)]
    (VENV / "pool.yaml").write_text(yaml.safe_dump({"endpoints": pool}))
    config["plugins"].append({"type": "file-discovery", "parameters": {"path": str(VENV / "pool.yaml")}})
    return yaml.safe_dump(config | {"dataLayer": {"discovery": {"pluginRef": "file-discovery"}}})


async def prediction_errors(metrics_port: int) -> list[float]:
    """Return what the picker exports of every endpoint."""
    async with aiohttp.ClientSession() as http, http.get(f"http://{HOST}:{metrics_port}/metrics") as response:
        lines = (await response.text()).splitlines()
    return [float(line.rpartition(" ")[2]) for line in lines if line.startswith("epp_prefix_prediction_error_ratio{")]


async def compare() -> tuple[list[Run], int]:
    """Start the servers once, run all profiles against them, and restart one under load."""
    vllm, model = prepare(VENV)
    print("starting two vLLM servers; that takes a minute", flush=True)
    async with AsyncExitStack() as first, AsyncExitStack() as second:
        stacks = (first, second)
        replicas = [partial(running_vllm, vllm, model, number=number) for number in range(REPLICAS)]
        servers = [await stack.enter_async_context(replica()) for stack, replica in zip(stacks, replicas, strict=True)]
        runs = [await measure(profile, servers) for profile in PROFILES]
        false = [await false_affinities(profile, servers, second, replicas[1]) for profile in MOST_ERROR]
        return runs, sum(false)


async def false_affinities(
    profile: str,
    servers: list[str],
    stack_of_last: AsyncExitStack,
    last: Callable[[], AbstractAsyncContextManager[str]],
) -> int:
    """Restart the last server under load; return how often a hit was expected of it afterwards that was none."""
    print(f"restarting one of them under load, with {profile}", flush=True)
    run, name = Run(f"restart with {profile}"), f"default/vllm-rank-{REPLICAS - 1}"
    async with running_stack(options_for(profile, servers, run)) as stack, asyncio.TaskGroup() as tasks:
        load = tasks.create_task(_drive_on(stack.url, run))
        await asyncio.sleep(5 * SCRAPE_S)
        await stack_of_last.aclose()
        before = set(run.endpoints)
        await stack_of_last.enter_async_context(last())
        await asyncio.sleep(15 * SCRAPE_S)
        load.cancel()
    after = [one for one, endpoint in run.endpoints.items() if endpoint == name and one not in before]
    seen = [one for one in after if one in run.usages]
    false = [one for one in seen if run.believed.get(one, 0) > 0 and not cached_tokens(run.usages[one])]
    print(f"after its restart {len(seen)} requests went there, {len(false)} of them for hits that were none")
    return len(false) if seen else 1


async def _drive_on(url: str, run: Run) -> None:
    """Hold conversations again and again, with the same system prompts."""
    while True:
        await drive(url, run, clients=RESTART_CLIENTS)
        run.round += 1


def main() -> int:
    """Print the table; 1 when a request failed, the believed hits are not real, or a restart is not noticed."""
    runs, false = asyncio.run(compare())
    print("\n| profile | requests | errors | served | vLLM found | picker believed | agreement | took |")
    print("|---|---|---|---|---|---|---|---|")
    print("\n".join(run.row() for run in runs))
    print(*(error for run in runs for error in run.errors[:5]), sep="\n")
    is_good = not false and all(_is_good(run, better_than=runs[0]) for run in runs)
    return 0 if is_good else 1


def _is_good(run: Run, *, better_than: Run) -> bool:
    """Tell whether a run is without errors, and its predictions are true; prints those."""
    if run is better_than:
        return not run.errors
    # Approximate matches are what was sent; what engines find of that is learned, and exported with the rest.
    errors = run.errors_of_belief if run.profile == "precise" else run.exported_errors
    print(f"{run.profile}: predicted minus observed hits: " + ", ".join(f"{error:+.1%}" for error in errors))
    is_real = len(errors) == REPLICAS and all(abs(error) <= MOST_ERROR[run.profile] for error in errors)
    return not run.errors and is_real and run.counters.hit_ratio > better_than.counters.hit_ratio


if __name__ == "__main__":
    sys.exit(main())
