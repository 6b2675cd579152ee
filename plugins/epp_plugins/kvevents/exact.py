"""Which endpoint says that it has which blocks, keyed by what is in them.

Engines name blocks by hashes of their own, which nobody else can compute. But they say which tokens are in a block and
which block is before it: that makes a chain of hashes of ours, the same for every engine and for a request's tokens.

What an engine will have soon is held too: the blocks of requests that are on their way to it, until they are over.
"""

from array import array
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import msgspec
from xxhash import xxh3_64_intdigest

from epp_plugins.kvevents.events import BlockHash, Cleared, Event, Removed, Stored
from epp_plugins.prefix.bits import bits

E = TypeVar("E", bound=Hashable)

TOKEN_BYTES = 4
Chain = Sequence[int]


def token_chain(tokens: Sequence[int], *, block_tokens: int, adapter: str = "", salt: str = "") -> list[int]:
    """Return one hash for each whole block of a request's tokens, as `ExactIndex` makes them of events."""
    return _chain(_root(adapter), tokens, block_tokens=block_tokens, extra=[[salt]] if salt else ())


@dataclass(eq=False, slots=True)
class Claim:
    """Blocks of one request that an engine is about to have."""

    chain: Chain
    known: int
    """How many of them, from the first, it had when they were claimed."""


@dataclass(slots=True)
class _Engine:
    """What one endpoint has said, and is about to have."""

    slot: int
    block_tokens: int
    blocks: dict[BlockHash, int] = field(default_factory=dict)
    """Its hash -> ours."""
    copies: dict[BlockHash, int] = field(default_factory=dict)
    """Its hash -> how often, for blocks that it has more than once: on several devices."""
    holders: dict[int, int] = field(default_factory=dict)
    """Block -> number of names and claims that hold it, where there are several."""
    claims: set[Claim] = field(default_factory=set)


class ExactIndex(Generic[E]):
    """Block -> bitmask of those who have it. A match is contiguous from the first block.

    At most ``max_blocks`` are taken note of, over all endpoints; ``is_full`` says that there were more.
    """

    def __init__(self, *, max_blocks: int) -> None:
        self._max_blocks = max_blocks
        self._count = 0
        self._masks: dict[int, int] = {}
        self._engines: dict[E, _Engine] = {}
        self._endpoints: dict[int, E] = {}
        self._free_slots: list[int] = []
        self.adapters: set[str] = set()
        """Adapters that blocks were computed with."""
        self.is_full = False

    def __len__(self) -> int:
        """Return the number of (block, endpoint) entries that engines have named."""
        return self._count

    def block_tokens(self, endpoint: E) -> int | None:
        """Return the size of an endpoint's blocks; ``None`` when it has said nothing yet."""
        engine = self._engines.get(endpoint)
        return engine.block_tokens if engine else None

    def apply(self, endpoint: E, event: Event) -> None:
        """Take note of what an endpoint says. Blocks after one that is not known are passed over."""
        match event:
            case Stored():
                self._store(endpoint, event)
            case Removed() if endpoint in self._engines:
                for name in event.hashes:
                    self._drop(self._engines[endpoint], name)
            case Cleared():
                self.forget(endpoint)

    def match(self, chain_of: Callable[[int], Chain]) -> dict[E, int]:
        """Return how many tokens from the start of a prompt each endpoint has; those with none are absent.

        ``chain_of`` gives the prompt's chain for blocks of a number of tokens.
        """
        tokens: dict[E, int] = {}
        for block_tokens in {engine.block_tokens for engine in self._engines.values()}:
            for slot, depth in self._depths(chain_of(block_tokens)):
                tokens[self._endpoints[slot]] = depth * block_tokens
        return tokens

    def claim(self, endpoint: E, chain: Chain, *, block_tokens: int) -> Claim:
        """Take it that an endpoint is about to have a request's blocks, of which it has some already."""
        engine = self._engine(endpoint, block_tokens)
        claim = Claim(chain, known=self._depth(engine, chain))
        for block in chain:
            self._hold(engine, block)
        engine.claims.add(claim)
        return claim

    def release(self, endpoint: E, claim: Claim) -> bool | None:
        """Let go of what was claimed; tells whether the engine has named the first block that was new to it.

        ``None``: none was new, or everything about the endpoint was forgotten meanwhile.
        """
        engine = self._engines.get(endpoint)
        if engine is None or claim not in engine.claims:
            return None
        engine.claims.remove(claim)
        first_new = claim.chain[claim.known] if claim.known < len(claim.chain) else None
        for block in claim.chain:
            self._let_go(engine, block)
        return None if first_new is None else self._has(engine, first_new)

    def forget(self, endpoint: E) -> None:
        """Forget all that an endpoint has said and is about to have."""
        engine = self._engines.pop(endpoint, None)
        if engine is None:
            return
        self._count -= len(engine.blocks)
        for block in {*engine.blocks.values(), *(block for claim in engine.claims for block in claim.chain)}:
            self._clear_bit(block, engine.slot)
        del self._endpoints[engine.slot]
        self._free_slots.append(engine.slot)

    def _depths(self, chain: Chain) -> Iterable[tuple[int, int]]:
        """Yield each slot with the number of blocks from the start that it has."""
        alive = -1
        for depth, block in enumerate(chain):
            still = self._masks.get(block, 0) & alive
            if depth and still != alive:
                yield from ((slot, depth) for slot in bits(alive & ~still))
            alive = still
            if not alive:
                return
        if chain:
            yield from ((slot, len(chain)) for slot in bits(alive))

    def _depth(self, engine: _Engine, chain: Chain) -> int:
        return next((depth for depth, block in enumerate(chain) if not self._has(engine, block)), len(chain))

    def _has(self, engine: _Engine, block: int) -> bool:
        return bool(self._masks.get(block, 0) >> engine.slot & 1)

    def _store(self, endpoint: E, event: Stored) -> None:
        engine = self._engine(endpoint, event.block_tokens)
        if engine.block_tokens != event.block_tokens:
            self.forget(endpoint)
            engine = self._engine(endpoint, event.block_tokens)
        previous = _root(event.adapter) if event.parent is None else engine.blocks.get(event.parent)
        if previous is None:
            return
        if self._count + len(event.hashes) > self._max_blocks:
            self.is_full = True
            return
        self.adapters.add(event.adapter)
        extra = [[key for key in keys if key != event.adapter] for keys in event.extra]
        chain = _chain(previous, event.tokens, block_tokens=event.block_tokens, extra=extra)
        for name, block in zip(event.hashes, chain, strict=True):
            self._add(engine, name, block)

    def _add(self, engine: _Engine, name: BlockHash, block: int) -> None:
        if name in engine.blocks:
            if engine.blocks[name] == block:
                engine.copies[name] = engine.copies.get(name, 1) + 1
                return
            engine.copies.pop(name, None)
            self._drop(engine, name)
        engine.blocks[name] = block
        self._count += 1
        self._hold(engine, block)

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
        self._count -= 1
        self._let_go(engine, block)

    def _hold(self, engine: _Engine, block: int) -> None:
        mask, bit = self._masks.get(block, 0), 1 << engine.slot
        if mask & bit:
            engine.holders[block] = engine.holders.get(block, 1) + 1
        else:
            self._masks[block] = mask | bit

    def _let_go(self, engine: _Engine, block: int) -> None:
        holders = engine.holders.pop(block, 1) - 1
        if holders > 1:
            engine.holders[block] = holders
        elif not holders:
            self._clear_bit(block, engine.slot)

    def _clear_bit(self, block: int, slot: int) -> None:
        mask = self._masks.get(block, 0) & ~(1 << slot)
        if mask:
            self._masks[block] = mask
        else:
            self._masks.pop(block, None)

    def _engine(self, endpoint: E, block_tokens: int) -> _Engine:
        engine = self._engines.get(endpoint)
        if engine is None:
            slot = self._free_slots.pop() if self._free_slots else len(self._engines)
            engine = self._engines[endpoint] = _Engine(slot, block_tokens)
            self._endpoints[slot] = endpoint
        return engine


def _root(adapter: str) -> int:
    return xxh3_64_intdigest(adapter.encode(errors="surrogatepass"))


def _chain(previous: int, tokens: Sequence[int], *, block_tokens: int, extra: Sequence[Sequence[object]]) -> list[int]:
    """Return a hash for each whole block: of what is before it, its tokens, and what else it depends on.

    ``extra`` has the latter for the first blocks; those after them depend on nothing else.
    """
    content = memoryview(array("I", tokens).tobytes())
    step = block_tokens * TOKEN_BYTES
    hashes: list[int] = []
    for i, start in enumerate(range(0, len(content) - step + 1, step)):
        if i < len(extra) and extra[i]:
            previous = xxh3_64_intdigest(msgspec.msgpack.encode(extra[i]), previous)
        previous = xxh3_64_intdigest(content[start : start + step], previous)
        hashes.append(previous)
    return hashes
