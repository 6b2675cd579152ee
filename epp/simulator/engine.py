"""An inference engine's timing, without a model."""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Annotated

import msgspec
from xxhash import xxh3_64_intdigest

BYTES_PER_TOKEN = 4
"""The simulated tokenizer: every four bytes are a token."""


Speed = Annotated[float, msgspec.Meta(ge=0.001)]
Size = Annotated[int, msgspec.Meta(ge=1)]


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How fast and how large a simulated engine is. Its fields are flags of ``epp simulate``."""

    prefill_tokens_per_second: Speed = 8000
    """Prompt tokens computed per second, one request after the other."""
    decode_tokens_per_second: Speed = 50
    """Output tokens per second of each running request."""
    max_running: Size = 16
    """Requests in the running batch; more wait."""
    block_size_tokens: Size = 16
    """Tokens in a block of the prefix cache."""
    block_count: Size = 4096
    """Blocks in the prefix cache."""


@dataclass(slots=True)
class Counters:
    """What the engine has done so far."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    finished: int = 0


@dataclass(frozen=True, slots=True)
class Running:
    """A request whose prompt has been computed: its first token is due now."""

    engine: "Engine"
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int

    def tokens(self) -> AsyncIterator[int]:
        """Yield the number of each output token as it comes."""
        return self.engine.decode(self.output_tokens)


class Engine:
    """Runs requests: first come first served, prefill one at a time, decode side by side."""

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings
        self.counters = Counters()
        self.waiting = 0
        self.running = 0
        self._slots = asyncio.Semaphore(settings.max_running)
        self._prefill = asyncio.Lock()
        self._cache = BlockCache(settings.block_count)
        self._blocks_in_use = 0

    @property
    def kv_cache_ratio(self) -> float:
        """Share of the cache that running requests hold, 0..1."""
        return min(1.0, self._blocks_in_use / self.settings.block_count)

    def cached_tokens(self, prompt: bytes) -> int:
        """Return how many of a prompt's tokens are in the cache now."""
        chain = block_chain(prompt, self.settings.block_size_tokens * BYTES_PER_TOKEN)
        return self._cache.match(chain) * self.settings.block_size_tokens

    @asynccontextmanager
    async def admitted(self, prompt: bytes, output_tokens: int) -> AsyncIterator["Running"]:
        """Wait for a place in the batch and for the prompt to be computed; the place is held while the context is open.

        A client that goes away closes the context early, and its place is free at once.
        """
        blocks = math.ceil((len(prompt) / BYTES_PER_TOKEN + output_tokens) / self.settings.block_size_tokens)
        await self._scheduled()
        self.running += 1
        self._blocks_in_use += blocks
        try:
            try:
                prompt_tokens, cached_tokens = await self._compute_prompt(prompt)
            finally:
                self._prefill.release()
            yield Running(self, prompt_tokens, cached_tokens, output_tokens)
        finally:
            self._blocks_in_use -= blocks
            self.running -= 1
            self._slots.release()

    async def _scheduled(self) -> None:
        """Wait for a place in the batch, and for the prompts before this one: until then a request is waiting."""
        self.waiting += 1
        try:
            await self._slots.acquire()
            try:
                await self._prefill.acquire()
            except BaseException:
                self._slots.release()
                raise
        finally:
            self.waiting -= 1

    async def decode(self, output_tokens: int) -> AsyncIterator[int]:
        """Yield the number of each output token as it comes; the first one is there when the prompt is computed."""
        for number in range(output_tokens):
            if number:
                await asyncio.sleep(1 / self.settings.decode_tokens_per_second)
            self.counters.output_tokens += 1
            yield number
        self.counters.finished += 1

    async def _compute_prompt(self, prompt: bytes) -> tuple[int, int]:
        tokens = math.ceil(len(prompt) / BYTES_PER_TOKEN)
        chain = block_chain(prompt, self.settings.block_size_tokens * BYTES_PER_TOKEN)
        # At least one token is always computed, as in real engines: something has to give the first output.
        cached = min(self._cache.match(chain) * self.settings.block_size_tokens, max(0, tokens - 1))
        await asyncio.sleep((tokens - cached) / self.settings.prefill_tokens_per_second)
        self._cache.insert(chain)
        self.counters.prompt_tokens += tokens
        self.counters.cached_tokens += cached
        return tokens, cached


class BlockCache:
    """Blocks of prompt beginnings, the least recently used going first, a tail before its head."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._blocks: dict[int, None] = {}

    def match(self, chain: Sequence[int]) -> int:
        """Return how many blocks from the start are cached."""
        for depth, block in enumerate(chain):
            if block not in self._blocks:
                return depth
        return len(chain)

    def insert(self, chain: Sequence[int]) -> None:
        """Make the chain the most recently used one."""
        for block in reversed(chain):
            self._blocks.pop(block, None)
            self._blocks[block] = None
        for oldest in list(islice(self._blocks, max(0, len(self._blocks) - self._capacity))):
            del self._blocks[oldest]


def block_chain(prompt: bytes, block_bytes: int) -> list[int]:
    """Return one hash for each whole block, each covering everything before it."""
    hashes: list[int] = []
    previous = 0
    for start in range(0, len(prompt) - block_bytes + 1, block_bytes):
        previous = xxh3_64_intdigest(prompt[start : start + block_bytes], previous)
        hashes.append(previous)
    return hashes
