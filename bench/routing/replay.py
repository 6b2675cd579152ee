"""One replay: the picker's own scheduling and load bookkeeping against simulated engines, in virtual time."""

import asyncio
import random
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import looptime
import yaml
from prometheus_client import CollectorRegistry
from routing.trace import TracedRequest, Traffic, load

from epp.assembled import Surroundings
from epp.assembly import assemble_text
from epp.datalayer import Datastore
from epp.observability import Metrics
from epp.plugin import (
    Decision,
    Endpoint,
    EndpointSpec,
    InferenceRequest,
    Load,
    ParsedBody,
    PrefixMatches,
    Reading,
    Response,
)
from epp.plugin.testing import make_context
from epp.simulator import Engine, EngineSettings

CONFIGS = Path(__file__).parents[2] / "config"
ENDPOINTS = 8
FIRST_PORT = 8000
BLOCK_TOKENS = 512
BLOCK_BYTES = 64
SCALE = BLOCK_TOKENS * 4 // BLOCK_BYTES
"""Prompts are made of 64 bytes for each block of 512 tokens; engines are slowed down by the same factor."""
ENGINE = EngineSettings(
    prefill_tokens_per_second=15_928 / SCALE,
    max_running=10_000,
    block_size_tokens=BLOCK_TOKENS // SCALE,
    block_count=3_000,
)
DECODE_S = 0.02
"""Time for each output token."""

_PREFIX = (
    "{type: approx-prefix-cache-producer, parameters: {autoTune: false, blockSizeTokens: 16, "
    "lruCapacityPerServer: 3000, maxPrefixTokensToMatch: 0, maxPrefixBlocksToMatch: 0}}"
)
"""Blocks are not taken together here: each stands for 512 tokens already."""


def _config(*plugins: tuple[str, str, float]) -> str:
    """Return a configuration with one profile of scorers: type, parameters, weight."""
    declared = ", ".join(f"{{type: {kind}, parameters: {parameters}}}" for kind, parameters, _ in plugins)
    weighted = ", ".join(f"{{pluginRef: {kind}, weight: {weight}}}" for kind, _, weight in plugins if weight)
    return (
        "{apiVersion: llm-d.ai/v1alpha1, kind: EndpointPickerConfig, "
        f"plugins: [{_PREFIX}, {declared}], schedulingProfiles: [{{name: default, plugins: [{weighted}]}}]}}"
    )


def _two_two_three(parameters: str) -> str:
    return _config(
        ("queue-scorer", parameters, 2),
        ("kv-cache-utilization-scorer", parameters, 2),
        ("prefix-cache-scorer", "{}", 3),
    )


def _sample(name: str) -> str:
    """Return a sample configuration of this project, with the producer for traces."""
    config = yaml.safe_load((CONFIGS / name).read_text())
    config["plugins"].append(yaml.safe_load(_PREFIX))
    return yaml.safe_dump(config)


@dataclass(frozen=True, slots=True)
class Policy:
    """What decides, and how often engines are asked for their load. No configuration: one after the other."""

    name: str
    config: str | None
    scrape_s: float
    knows_caches: bool = False
    """Whether it is told what every engine's cache really holds."""
    workers: int = 1
    """Pickers that share the requests, each request going to any of them; they know nothing of each other."""
    shares_load: bool = False
    """Whether they know what the others have in flight, and share their scrapes; each has a prefix index of its own."""


POLICIES = (
    Policy("round robin", None, 1.0),
    Policy("random", _config(("random-picker", "{}", 1)), 1.0),
    Policy("least waiting, raw, 50 ms", _config(("queue-scorer", "{raw: true}", 1)), 0.05),
    Policy("2/2/3, raw, 50 ms", _two_two_three("{raw: true}"), 0.05),
    Policy("2/2/3, raw, 1 s", _two_two_three("{raw: true}"), 1.0),
    Policy("2/2/3, default, 1 s", _sample("default.yaml"), 1.0),
    Policy("2/2/3, real caches known, 1 s", _sample("default.yaml"), 1.0, knows_caches=True),
    Policy("sticky, 1 s", _sample("sticky.yaml"), 1.0),
    Policy("prefix alone, 1 s", _config(("prefix-cache-scorer", "{}", 1)), 1.0),
    Policy("default, 1 s, 2 workers, nothing shared", _sample("default.yaml"), 1.0, workers=2),
    Policy("default, 1 s, 4 workers, nothing shared", _sample("default.yaml"), 1.0, workers=4),
    Policy("default, 1 s, 4 workers, load shared", _sample("default.yaml"), 1.0, workers=4, shares_load=True),
    Policy(
        "real caches known, 1 s, 4 workers, nothing shared", _sample("default.yaml"), 1.0, knows_caches=True, workers=4
    ),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What clients and caches saw; times in seconds."""

    hit_ratio: float
    p50_s: float
    p90_s: float
    p99_s: float
    largest_share: float
    """Of the requests, that of the endpoint which got most."""


def replay(directory: Path, traffic: Traffic, policy: Policy, seed: int) -> Outcome:
    """Run one trace under one policy."""
    requests = load(directory, traffic, seed)
    with asyncio.Runner(loop_factory=lambda: looptime.new_event_loop(start=0, end=1e9)) as runner:
        return runner.run(_Replay(policy, seed).run(requests))


class _Picker:
    """One process: what it decides with, and what it knows of the pool."""

    store: Datastore

    def __init__(self, policy: Policy, rng: random.Random) -> None:
        self.policy = policy
        clock: Callable[[], float] = asyncio.get_event_loop().time
        around = Surroundings(metrics=Metrics(CollectorRegistry()), log=make_context().log, random=rng, clock=clock)
        self.assembly = assemble_text(policy.config, around)
        self._next = 0

    async def decide(self, request: InferenceRequest, engines: Sequence[Engine]) -> Decision:
        """Return where a request goes."""
        pool = self.store.endpoints()
        if self.policy.config is None:
            self._next += 1
            return Decision(endpoints=[pool[self._next % len(pool)]])
        for producer in self.assembly.producers:
            await producer.produce(request, pool)
        if self.policy.knows_caches:
            _tell_caches(request, dict(zip(pool, engines, strict=True)))
        decision = self.assembly.scheduler.schedule(request, pool)
        self.assembly.observers.on_routed(request, decision)
        return decision


def _give_store(pickers: Sequence[_Picker]) -> Datastore:
    """Let pickers know the same of the pool, and tell all of them what happens in it."""
    observers = [picker.assembly.observers for picker in pickers]

    def removed(endpoint: Endpoint) -> None:
        for one in observers:
            one.on_endpoint_removed(endpoint)

    def scraped(endpoint: Endpoint) -> None:
        for one in observers:
            one.on_scraped(endpoint)

    clock: Callable[[], float] = asyncio.get_event_loop().time
    store = Datastore(clock=clock, log=make_context().log, on_removed=removed, on_scraped=scraped)
    store.replace([EndpointSpec(name=f"e{i}", address="10.0.0.1", port=FIRST_PORT + i) for i in range(ENDPOINTS)])
    for picker in pickers:
        picker.store = store
    return store


class _Replay:
    def __init__(self, policy: Policy, seed: int) -> None:
        self._policy = policy
        self._random = random.Random(seed)  # noqa: S311 - ties and jitter, not secrets
        self._pickers = [_Picker(policy, self._random) for _ in range(policy.workers)]
        groups = [self._pickers] if policy.shares_load else [[picker] for picker in self._pickers]
        self._stores = [_give_store(group) for group in groups]
        self._engines = [Engine(ENGINE) for _ in range(ENDPOINTS)]
        self._spread = random.Random(seed)  # noqa: S311 - which worker gets a request
        self._first_token_s: list[float] = []
        self._picks: Counter[str] = Counter()

    async def run(self, requests: Sequence[TracedRequest]) -> Outcome:
        """Return what came out, when the last request has ended."""
        async with asyncio.TaskGroup() as scrapes:
            following = [scrapes.create_task(self._follow(store)) for store in self._stores]
            async with asyncio.TaskGroup() as group:
                for request in requests:
                    await asyncio.sleep(max(0.0, request.arrives_s - asyncio.get_running_loop().time()))
                    group.create_task(self._serve(request, self._spread.choice(self._pickers)))
            for one in following:
                one.cancel()
        counters = [engine.counters for engine in self._engines]
        cuts = statistics.quantiles(self._first_token_s, n=100)
        hit_ratio = sum(one.cached_tokens for one in counters) / sum(one.prompt_tokens for one in counters)
        return Outcome(hit_ratio, cuts[49], cuts[89], cuts[98], max(self._picks.values()) / self._picks.total())

    async def _follow(self, store: Datastore) -> None:
        """Scrape every engine again and again."""
        while True:
            for endpoint, engine in zip(store.endpoints(), self._engines, strict=True):
                store.asked(endpoint)
                store.scraped(endpoint, Reading(load=_page(engine)))
            await asyncio.sleep(self._policy.scrape_s * self._random.uniform(0.9, 1.1))

    async def _serve(self, traced: TracedRequest, picker: _Picker) -> None:
        arrived_s = asyncio.get_running_loop().time()
        prompt = _prompt(traced)
        request = InferenceRequest(
            request_id="", head={}, parsed=ParsedBody(model="m", prompts=(prompt,)), body_bytes=len(prompt)
        )
        decision = await picker.decide(request, self._engines)
        endpoint = decision.primary
        self._picks[endpoint.key] += 1
        in_flight = picker.store.routed(endpoint, request.uncached_tokens(endpoint))
        response = Response(status=200)
        engine = self._engines[endpoint.port - FIRST_PORT]
        async with engine.admitted(prompt, traced.output_tokens // SCALE):
            self._first_token_s.append(asyncio.get_running_loop().time() - arrived_s)
            in_flight.started(200)
            picker.assembly.observers.on_response_head(request, decision, response)
            await asyncio.sleep(traced.output_tokens * DECODE_S)
        in_flight.ended()
        picker.assembly.observers.on_done(request, decision, response)


def _tell_caches(request: InferenceRequest, engines: Mapping[Endpoint, Engine]) -> None:
    """Attach what the engines' caches really hold, in place of what is believed."""
    (prompt,) = request.prompts
    matched = {endpoint: engine.cached_tokens(prompt) for endpoint, engine in engines.items()}
    request.attach(PrefixMatches(matched_tokens=matched, total_tokens=request.prompt_tokens))


def _page(engine: Engine) -> Load:
    """Return what an engine's metrics page says now."""
    return Load(
        waiting=engine.waiting,
        running=engine.running,
        kv_cache_ratio=engine.kv_cache_ratio,
        block_size_tokens=ENGINE.block_size_tokens,
        block_count=ENGINE.block_count,
        prefix_queried_tokens=engine.counters.prompt_tokens,
        prefix_hit_tokens=engine.counters.cached_tokens,
    )


def _prompt(traced: TracedRequest) -> bytes:
    """Return a prompt that begins like others with the same blocks, of a length that stands for its tokens."""
    content = b"".join(block.to_bytes(8, "little", signed=True) * (BLOCK_BYTES // 8) for block in traced.blocks)
    return content[: max(1, traced.input_tokens * 4 // SCALE)]
