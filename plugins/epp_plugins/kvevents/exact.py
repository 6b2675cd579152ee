"""Which endpoint says that it has which blocks, keyed by what is in them.

Engines name blocks by hashes of their own, which nobody else can compute. But they say which tokens are in a block and
which block is before it: that makes a chain of hashes of ours, the same for every engine and for a request's tokens.

What an engine will have soon counts too: the blocks of requests that are on their way to it, until they are over.
"""

import enum
from array import array
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import msgspec
from xxhash import xxh3_64_intdigest

from epp.plugin.request import BYTES_PER_TOKEN
from epp_plugins.kvevents.events import BlockHash, Cleared, Event, Removed, Stored
from epp_plugins.prefix.bits import bits

E = TypeVar("E", bound=Hashable)

Chain = Sequence[int]


def token_chain(tokens: Sequence[int], *, block_tokens: int, adapter: str = "", salt: str = "") -> list[int]:
    """Return one hash for each whole block of a request's tokens, as `ExactIndex` makes them of events."""
    return _chain(_root(adapter), tokens, block_tokens=block_tokens, extra=[[salt]] if salt else ())


class Outcome(enum.Enum):
    """What an engine has said of a request by its end."""

    NAMED = enum.auto()
    """It has named the first block that was new to it."""
    SILENT = enum.auto()
    """It has not."""
    NOTHING_NEW = enum.auto()
    """There was none, or everything about the engine was forgotten meanwhile."""


@dataclass(eq=False, slots=True)
class ExpectedBlocks:
    """Blocks of one request that an engine is about to have."""

    chain: Chain
    first_new: int | None
    """The first of them that it had not named when they were expected."""


class _Holders:
    """Block -> bitmask of slots that hold it; a slot may hold it several times."""

    def __init__(self) -> None:
        self.masks: dict[int, int] = {}
        self._counts: dict[tuple[int, int], int] = {}
        """(block, slot) -> how often, where that is more than once."""

    def has(self, block: int, slot: int) -> bool:
        return bool(self.masks.get(block, 0) >> slot & 1)

    def hold(self, block: int, slot: int) -> None:
        mask, bit = self.masks.get(block, 0), 1 << slot
        if mask & bit:
            self._counts[block, slot] = self._counts.get((block, slot), 1) + 1
        else:
            self.masks[block] = mask | bit

    def let_go(self, block: int, slot: int) -> None:
        left = self._counts.pop((block, slot), 1) - 1
        if left > 1:
            self._counts[block, slot] = left
        elif not left:
            self.forget(block, slot)

    def forget(self, block: int, slot: int) -> None:
        """Let go of it however often it is held."""
        self._counts.pop((block, slot), None)
        mask = self.masks.get(block, 0) & ~(1 << slot)
        if mask:
            self.masks[block] = mask
        else:
            self.masks.pop(block, None)


@dataclass(slots=True)
class _Engine:
    """What one endpoint has said, and is about to have."""

    slot: int
    block_tokens: int
    has_stored: bool = False
    """It has said so itself."""
    group: int | None = None
    """The group of layers whose blocks count: the first that sees everything before it. Others have blocks beside."""
    blocks: dict[str, dict[BlockHash, int]] = field(default_factory=dict)
    """Medium -> the engine's own hash -> ours."""
    expected: set[ExpectedBlocks] = field(default_factory=set)


class ExactIndex(Generic[E]):
    """Who has which block, or is about to have it. A match is contiguous from the first block.

    At most ``max_blocks`` that engines have named are kept, over all endpoints.
    """

    def __init__(self, *, max_blocks: int) -> None:
        self._max_blocks = max_blocks
        self._count = 0
        self._named = _Holders()
        self._expected = _Holders()
        self._engines: dict[E, _Engine] = {}
        self._endpoints: dict[int, E] = {}
        self._free_slots: list[int] = []
        self._adapters: set[str] = set()

    def __len__(self) -> int:
        """Return the number of (block, endpoint) entries that engines have named."""
        return self._count

    def block_tokens(self, endpoint: E) -> int | None:
        """Return the size of an endpoint's blocks; ``None`` when it has said nothing yet."""
        engine = self._engines.get(endpoint)
        return engine.block_tokens if engine and engine.has_stored else None

    def has_adapter(self, name: str) -> bool:
        """Tell whether an engine has named blocks that were computed with a LoRA adapter."""
        return name in self._adapters

    def apply(self, endpoint: E, event: Event) -> bool:
        """Take note of what an endpoint says; tells whether all of it was.

        Blocks after one that is not known, of another size than the first, or beyond the bound, are passed over.
        """
        match event:
            case Stored():
                return self._store(endpoint, event)
            case Removed():
                engine = self._engines.get(endpoint)
                if engine is not None and event.group == engine.group:
                    self._remove(engine, event)
            case Cleared():
                self.forget(endpoint)
        return True

    def match(self, chain_of: Callable[[int], Chain]) -> dict[E, int]:
        """Return how many tokens from the start of a prompt each endpoint has; those with none are absent.

        ``chain_of`` gives the prompt's chain for blocks of a number of tokens.
        """
        tokens: dict[E, int] = {}
        slots: dict[int, int] = {}
        for engine in self._engines.values():
            slots[engine.block_tokens] = slots.get(engine.block_tokens, 0) | 1 << engine.slot
        for block_tokens, alive in slots.items():
            for slot, depth in self._depths(chain_of(block_tokens), alive):
                tokens[self._endpoints[slot]] = depth * block_tokens
        return tokens

    def expect(self, endpoint: E, chain: Chain, *, block_tokens: int) -> ExpectedBlocks:
        """Take it that an endpoint is about to have a request's blocks; returns what to `release` at its end."""
        engine = self._engine(endpoint, block_tokens)
        new = (block for block in chain if not self._named.has(block, engine.slot))
        expected = ExpectedBlocks(chain, first_new=next(new, None))
        for block in chain:
            self._expected.hold(block, engine.slot)
        engine.expected.add(expected)
        return expected

    def release(self, endpoint: E, expected: ExpectedBlocks) -> Outcome:
        """Expect them no more: by now the engine has said itself what it has."""
        engine = self._engines.get(endpoint)
        if engine is None or expected not in engine.expected:
            return Outcome.NOTHING_NEW
        engine.expected.remove(expected)
        for block in expected.chain:
            self._expected.let_go(block, engine.slot)
        if expected.first_new is None:
            return Outcome.NOTHING_NEW
        return Outcome.NAMED if self._named.has(expected.first_new, engine.slot) else Outcome.SILENT

    def forget(self, endpoint: E) -> None:
        """Forget all that an endpoint has said and is about to have."""
        engine = self._engines.pop(endpoint, None)
        if engine is None:
            return
        for blocks in engine.blocks.values():
            self._count -= len(blocks)
            for block in blocks.values():
                self._named.forget(block, engine.slot)
        for expected in engine.expected:
            for block in expected.chain:
                self._expected.forget(block, engine.slot)
        del self._endpoints[engine.slot]
        self._free_slots.append(engine.slot)

    def _depths(self, chain: Chain, alive: int) -> Iterable[tuple[int, int]]:
        """Yield each slot of ``alive`` that has the first block, with the number of blocks from there that it has."""
        named, expected = self._named.masks, self._expected.masks
        for depth, block in enumerate(chain):
            still = (named.get(block, 0) | expected.get(block, 0)) & alive
            if depth and still != alive:
                yield from ((slot, depth) for slot in bits(alive & ~still))
            alive = still
            if not alive:
                return
        if chain:
            yield from ((slot, len(chain)) for slot in bits(alive))

    def _store(self, endpoint: E, event: Stored) -> bool:
        engine = self._engine(endpoint, event.block_tokens)
        if not engine.has_stored:
            if engine.block_tokens != event.block_tokens:
                self.forget(endpoint)
                engine = self._engine(endpoint, event.block_tokens)
            engine.has_stored, engine.group = True, event.group
        if event.group != engine.group:
            return True
        previous = _root(event.adapter) if event.parent is None else _block_of(engine, event.parent)
        is_too_much = self._count + len(event.hashes) > self._max_blocks
        if previous is None or is_too_much or event.block_tokens != engine.block_tokens:
            return False
        self._adapters.add(event.adapter)
        # vLLM repeats the adapter's name among the extra keys; the root has it already.
        extra = [[key for key in keys if key != event.adapter] for keys in event.extra]
        chain = _chain(previous, event.tokens, block_tokens=event.block_tokens, extra=extra)
        named = engine.blocks.setdefault(event.medium, {})
        for own_hash, block in zip(event.hashes, chain, strict=True):
            self._name(engine, named, own_hash, block)
        return True

    def _name(self, engine: _Engine, named: dict[BlockHash, int], own_hash: BlockHash, block: int) -> None:
        """Note a block; one that is named again counts once, because engines also report blocks that are reused."""
        before = named.get(own_hash)
        if before == block:
            return
        if before is not None:
            self._count -= 1
            self._named.let_go(before, engine.slot)
        named[own_hash] = block
        self._count += 1
        self._named.hold(block, engine.slot)

    def _remove(self, engine: _Engine, event: Removed) -> None:
        """Let go of blocks on a medium, on all of them where the engine does not say on which."""
        media = [event.medium] if event.medium else list(engine.blocks)
        for named in (engine.blocks.get(medium, {}) for medium in media):
            for own_hash in event.hashes:
                block = named.pop(own_hash, None)
                if block is not None:
                    self._count -= 1
                    self._named.let_go(block, engine.slot)

    def _engine(self, endpoint: E, block_tokens: int) -> _Engine:
        engine = self._engines.get(endpoint)
        if engine is None:
            slot = self._free_slots.pop() if self._free_slots else len(self._engines)
            engine = self._engines[endpoint] = _Engine(slot, block_tokens)
            self._endpoints[slot] = endpoint
        return engine


def _block_of(engine: _Engine, own_hash: BlockHash) -> int | None:
    """Return our hash of a block, wherever it is; ``None`` for one that is not known."""
    return next((named[own_hash] for named in engine.blocks.values() if own_hash in named), None)


def _root(adapter: str) -> int:
    return xxh3_64_intdigest(adapter.encode(errors="surrogatepass"))


def _chain(previous: int, tokens: Sequence[int], *, block_tokens: int, extra: Sequence[Sequence[object]]) -> list[int]:
    """Return a hash for each whole block: of what is before it, its tokens, and what else it depends on.

    ``extra`` has the latter for the first blocks; those after them depend on nothing else.
    """
    content = memoryview(array("I", tokens).tobytes())
    step = block_tokens * BYTES_PER_TOKEN
    hashes: list[int] = []
    for i, start in enumerate(range(0, len(content) - step + 1, step)):
        if i < len(extra) and extra[i]:
            previous = xxh3_64_intdigest(msgspec.msgpack.encode(extra[i]), previous)
        previous = xxh3_64_intdigest(content[start : start + step], previous)
        hashes.append(previous)
    return hashes
