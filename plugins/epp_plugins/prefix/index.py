"""Block hash -> bitmask of endpoints."""

from collections.abc import Hashable, Iterable, Sequence
from itertools import islice
from typing import Generic, TypeVar

E = TypeVar("E", bound=Hashable)


class PrefixIndex(Generic[E]):
    """Which endpoint is believed to have which prefix blocks in its cache, bounded for each endpoint.

    An endpoint owns one bit. `match` walks a chain once for all endpoints: the set of those that still match only
    shrinks, so a match is contiguous from the first block. Beyond an endpoint's capacity its least recently used block
    goes, and of blocks used at the same time the one deepest in its chain: engines evict the tail of a prefix before
    its head, because a head without a tail still hits and a tail without a head never does.
    """

    def __init__(self, capacity_blocks: int) -> None:
        self._capacity_blocks = capacity_blocks
        self._masks: dict[int, int] = {}
        self._slots: dict[E, int] = {}
        self._endpoints: dict[int, E] = {}
        """Slot -> endpoint, the reverse of `_slots`."""
        self._free_slots: list[int] = []
        self._recent: dict[E, dict[int, None]] = {}
        """For each endpoint its blocks, least recently used first."""

    def __len__(self) -> int:
        """Return the number of (block, endpoint) entries."""
        return sum(map(len, self._recent.values()))

    def match(self, chain: Sequence[int]) -> dict[E, int]:
        """Return how many blocks from the start of the chain each endpoint has; those with none are absent."""
        depths: dict[E, int] = {}
        alive = -1
        for depth, block in enumerate(chain):
            still = self._masks.get(block, 0) & alive
            if still != alive:
                if depth:
                    self._note_depth(depths, alive & ~still, depth)
                alive = still
                if not alive:
                    break
        if chain and alive:
            self._note_depth(depths, alive, len(chain))
        return depths

    def insert(self, endpoint: E, chain: Sequence[int]) -> None:
        """Note that the endpoint is about to have these blocks; evicts what is then too much."""
        bit = 1 << self._slot(endpoint)
        recent = self._recent[endpoint]
        for block in reversed(chain):
            if block in recent:
                del recent[block]
            else:
                self._masks[block] = self._masks.get(block, 0) | bit
            recent[block] = None
        # All at once: a dict finds its first key by passing over those that were deleted before it.
        for oldest in list(islice(recent, max(0, len(recent) - self._capacity_blocks))):
            del recent[oldest]
            self._clear_bit(oldest, bit)

    def remove(self, endpoint: E) -> None:
        """Forget everything about an endpoint."""
        slot = self._slots.pop(endpoint, None)
        if slot is None:
            return
        for block in self._recent.pop(endpoint):
            self._clear_bit(block, 1 << slot)
        del self._endpoints[slot]
        self._free_slots.append(slot)

    def _note_depth(self, depths: dict[E, int], slots: int, depth: int) -> None:
        """Write the depth at which the endpoints of a bitmask stopped matching."""
        for slot in _bits(slots):
            depths[self._endpoints[slot]] = depth

    def _slot(self, endpoint: E) -> int:
        slot = self._slots.get(endpoint)
        if slot is None:
            slot = self._free_slots.pop() if self._free_slots else len(self._slots)
            self._slots[endpoint] = slot
            self._endpoints[slot] = endpoint
            self._recent[endpoint] = {}
        return slot

    def _clear_bit(self, block: int, bit: int) -> None:
        mask = self._masks[block] & ~bit
        if mask:
            self._masks[block] = mask
        else:
            del self._masks[block]


def _bits(mask: int) -> Iterable[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low
