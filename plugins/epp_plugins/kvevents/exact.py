"""Which endpoint says that it has which blocks, keyed by what is in them.

Engines name blocks by hashes of their own, which nobody else can compute. But they say which tokens are in a block and
which block is before it: that makes a chain of hashes of ours, the same for every engine and for a request's tokens.
"""

from array import array
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import msgspec
from xxhash import xxh3_64_intdigest

from epp_plugins.kvevents.events import BlockHash, Cleared, Event, Removed, Stored
from epp_plugins.prefix.bits import bits

E = TypeVar("E", bound=Hashable)

MAX_BLOCKS = 4_000_000
"""Of one endpoint: no engine has more; one that says so does not count any further."""


def token_chain(tokens: Sequence[int], *, block_tokens: int, adapter: str = "", salt: str = "") -> list[int]:
    """Return one hash for each whole block of a request's tokens, as `ExactIndex` makes them of events."""
    extra = [salt] if salt else []
    hashes: list[int] = []
    previous = _root(adapter)
    for start in range(0, len(tokens) - block_tokens + 1, block_tokens):
        previous = _hash(previous, tokens[start : start + block_tokens], extra if not start else [])
        hashes.append(previous)
    return hashes


@dataclass(slots=True)
class _Engine:
    """What one endpoint has said."""

    slot: int
    blocks: dict[BlockHash, int] = field(default_factory=dict)
    """Its hash -> ours."""
    copies: dict[BlockHash, int] = field(default_factory=dict)
    """Its hash -> how often, for blocks that it has more than once: on several devices."""


class ExactIndex(Generic[E]):
    """Block -> bitmask of those who have it. A match is contiguous from the first block.

    Each data-parallel rank is one of its own: ranks name the same block differently.
    """

    def __init__(self) -> None:
        self._masks: dict[int, int] = {}
        self._engines: dict[E, _Engine] = {}
        self._endpoints: dict[int, E] = {}
        self._free_slots: list[int] = []

    def __len__(self) -> int:
        """Return the number of (block, endpoint) entries."""
        return sum(len(engine.blocks) for engine in self._engines.values())

    def apply(self, endpoint: E, event: Event) -> None:
        """Take note of what an endpoint says. Blocks after one that is not known are passed over."""
        match event:
            case Stored():
                self._store(self._engine(endpoint), event)
            case Removed():
                engine = self._engine(endpoint)
                for name in event.hashes:
                    self._drop(engine, name)
            case Cleared():
                self.forget(endpoint)

    def match(self, chain: Sequence[int]) -> dict[E, int]:
        """Return how many blocks from the start of the chain each endpoint has; those with none are absent."""
        depths: dict[E, int] = {}
        alive = -1
        for depth, block in enumerate(chain):
            still = self._masks.get(block, 0) & alive
            if still != alive:
                if depth:
                    depths.update((self._endpoints[slot], depth) for slot in bits(alive & ~still))
                alive = still
                if not alive:
                    return depths
        if chain:
            depths.update((self._endpoints[slot], len(chain)) for slot in bits(alive))
        return depths

    def forget(self, endpoint: E) -> None:
        """Forget all that an endpoint has said."""
        engine = self._engines.pop(endpoint, None)
        if engine is None:
            return
        for block in set(engine.blocks.values()):
            self._clear_bit(block, engine.slot)
        del self._endpoints[engine.slot]
        self._free_slots.append(engine.slot)

    def _store(self, engine: _Engine, event: Stored) -> None:
        previous = _root(event.adapter) if event.parent is None else engine.blocks.get(event.parent)
        if previous is None or len(engine.blocks) + len(event.hashes) > MAX_BLOCKS:
            return
        for i, name in enumerate(event.hashes):
            tokens = event.tokens[i * event.block_tokens : (i + 1) * event.block_tokens]
            extra = [key for key in event.extra[i] if key != event.adapter] if event.extra else []
            previous = _hash(previous, tokens, extra)
            self._add(engine, name, previous)

    def _add(self, engine: _Engine, name: BlockHash, block: int) -> None:
        if name in engine.blocks:
            if engine.blocks[name] == block:
                engine.copies[name] = engine.copies.get(name, 1) + 1
                return
            engine.copies.pop(name, None)
            self._drop(engine, name)
        engine.blocks[name] = block
        self._masks[block] = self._masks.get(block, 0) | 1 << engine.slot

    def _drop(self, engine: _Engine, name: BlockHash) -> None:
        block = engine.blocks.get(name)
        if block is None:
            return
        copies = engine.copies.pop(name, 1) - 1
        if copies:
            if copies > 1:
                engine.copies[name] = copies
            return
        del engine.blocks[name]
        self._clear_bit(block, engine.slot)

    def _clear_bit(self, block: int, slot: int) -> None:
        mask = self._masks.get(block, 0) & ~(1 << slot)
        if mask:
            self._masks[block] = mask
        else:
            self._masks.pop(block, None)

    def _engine(self, endpoint: E) -> _Engine:
        engine = self._engines.get(endpoint)
        if engine is None:
            slot = self._free_slots.pop() if self._free_slots else len(self._engines)
            engine = self._engines[endpoint] = _Engine(slot)
            self._endpoints[slot] = endpoint
        return engine


def _root(adapter: str) -> int:
    return xxh3_64_intdigest(adapter.encode(errors="surrogatepass"))


def _hash(previous: int, tokens: Sequence[int], extra: Sequence[object]) -> int:
    """Return the hash of a block: what is before it, its tokens, and what else it depends on."""
    seed = xxh3_64_intdigest(msgspec.msgpack.encode(extra), previous) if extra else previous
    return xxh3_64_intdigest(array("I", tokens), seed)
