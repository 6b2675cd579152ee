"""Which endpoint is believed to have which beginning of a prompt in its cache."""

import heapq
from array import array
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

from epp_plugins.prefix.bits import bits
from epp_plugins.prefix.runs import Run
from epp_plugins.prefix.shelves import Claim, Shelf

E = TypeVar("E", bound=Hashable)

BLOCK_BYTES = 8
RUN_BYTES = 400
OWNER_BYTES = 160
"""What a block, a run, and an endpoint's part in a run cost (`bench/micro/prefix.py` compares with the process)."""
CLEANED_RUNS = 8
"""How many runs of endpoints that have left are let go at each insertion."""


class PrefixIndex(Generic[E]):
    """A trie of block hashes, bounded for each endpoint in blocks and for all of them in bytes.

    Chains that begin alike share `Run`s, so a match walks a few runs, not every block, and finds how far each endpoint
    matches in one pass: the set of those that still match only shrinks. Beyond an endpoint's capacity its least
    recently used block goes, and of blocks used at the same time the one deepest in its chain: engines evict the tail
    of a prefix before its head, because a head without a tail still hits and a tail without a head never does.
    """

    def __init__(self, *, capacity_of: Callable[[E], int], max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._capacity_of = capacity_of
        """How many blocks a new endpoint keeps."""
        self._root = Run(array("Q"), parent=None, start=0)
        self._shelves: dict[E, Shelf] = {}
        self._endpoints: dict[int, E] = {}
        """Slot -> endpoint."""
        self._leaving: deque[Shelf] = deque()
        """Those of endpoints that were removed, on their way out."""
        self._alive = 0
        """The slots of endpoints that were not removed."""
        self._free_slots: list[int] = []
        self._by_slot: dict[int, Shelf] = {}
        """Those that were removed among them, until nothing of them is left."""
        self._now = 0
        self._blocks = 0
        self._runs = 0
        self._owned = 0

    def __len__(self) -> int:
        """Return the number of (block, endpoint) entries."""
        return sum(shelf.blocks for shelf in self._shelves.values())

    @property
    def bytes_used(self) -> int:
        """An estimate of the memory it takes."""
        return self._blocks * BLOCK_BYTES + self._runs * RUN_BYTES + self._owned * OWNER_BYTES

    @property
    def has_endpoints(self) -> bool:
        """Whether any endpoint has, or had, blocks here."""
        return bool(self._shelves)

    def blocks_of(self, endpoint: E) -> int:
        """Return how many blocks an endpoint is believed to have."""
        shelf = self._shelves.get(endpoint)
        return 0 if shelf is None else shelf.blocks

    def match(self, chain: Sequence[int]) -> dict[E, int]:
        """Return how many blocks from the start of the chain each endpoint has; those with none are absent."""
        depths: dict[E, int] = {}
        run, depth, alive = self._root, 0, self._alive
        while alive and depth < len(chain):
            child = run.child(chain[depth])
            if child is None:
                break
            shared = child.shared(chain, depth)
            lost = alive & ~child.full
            if lost:
                self._note(depths, lost, depth)
                for slot, blocks in (child.partial or {}).items():
                    if alive >> slot & 1:
                        depths[self._endpoints[slot]] = depth + min(blocks, shared)
            alive &= child.full
            run, depth = child, depth + shared
            if shared < len(child.hashes):
                break
        self._note(depths, alive, depth)
        return depths

    def insert(self, endpoint: E, chain: Sequence[int]) -> Claim | None:
        """Note that an endpoint is about to have these blocks; evicts what is then too much.

        Returns what to `confirm` or to `withdraw`; ``None`` for a chain without blocks.
        """
        self._clean(CLEANED_RUNS)
        if not chain:
            return None
        shelf = self._shelf(endpoint)
        self._now += 1
        run = self._root
        depth = 0
        while depth < len(chain):
            run = self._step(run, chain, depth, shelf)
            depth = run.start + run.blocks_of(shelf.slot)
        shelf.use(run, self._now)
        self._evict(shelf, shelf.blocks - shelf.capacity_blocks)
        self._keep_within_bytes()
        return Claim(shelf, run, len(chain))

    def confirm(self, claim: Claim) -> None:
        """Note that an endpoint has computed what it was said to have."""
        if self._by_slot.get(claim.shelf.slot) is not claim.shelf:
            return
        bit = 1 << claim.shelf.slot
        run: Run | None = self._claimed(claim)
        while run is not None:
            run.unconfirmed &= ~bit
            run = run.parent

    def withdraw(self, claim: Claim) -> None:
        """Forget of what an endpoint was said to have that which it was never seen to have."""
        slot = claim.shelf.slot
        if self._by_slot.get(slot) is not claim.shelf:
            return
        run = self._claimed(claim)
        while run.parent is not None:
            is_confirmed = run.blocks_of(slot) and not run.unconfirmed >> slot & 1
            if is_confirmed or run.goes_on_for(slot):
                return
            self._take(claim.shelf, run, run.blocks_of(slot))
            run = run.parent

    def resize(self, endpoint: E, capacity_blocks: int) -> None:
        """Set how many blocks an endpoint keeps, if it has any."""
        shelf = self._shelves.get(endpoint)
        if shelf is not None:
            shelf.capacity_blocks = capacity_blocks
            self._evict(shelf, shelf.blocks - capacity_blocks)

    def remove(self, endpoint: E) -> None:
        """Forget everything about an endpoint: at once for matches, by and by for memory."""
        shelf = self._shelves.pop(endpoint, None)
        if shelf is not None:
            self._alive &= ~(1 << shelf.slot)
            self._leaving.append(shelf)

    def _claimed(self, claim: Claim) -> Run:
        """Return the run that has the last block of a claim.

        It ends there: when that was lost meanwhile, the endpoint may have got it again together with what is after it.
        """
        run = claim.run()
        within = claim.depth - run.start
        return self._split(run, within) if within < run.blocks_of(claim.shelf.slot) else run

    def _step(self, run: Run, chain: Sequence[int], depth: int, shelf: Shelf) -> Run:
        """Go one run further along a chain, and let the endpoint have as much of it as the chain has."""
        slot = shelf.slot
        child = run.child(chain[depth])
        if child is None:
            child = Run(array("Q", chain[depth:]), parent=run, start=depth)
            run.adopt(child)
            self._runs += 1
            self._blocks += len(child.hashes)
        shared, had = child.shared(chain, depth), child.blocks_of(slot)
        ends_within = depth + shared == len(chain)
        if shared < len(child.hashes) and (had > shared or not ends_within):
            child = self._split(child, shared)
            had = min(had, shared)
        if 0 < had < shared:
            # What it has already may be confirmed, what it gets now is not: they have to be two runs.
            child = self._split(child, had)
            shared = had
        if not had:
            shelf.runs += 1
            self._owned += 1
            child.unconfirmed |= 1 << slot
        shelf.blocks += shared - had
        child.give(slot, shared)
        child.used[slot] = self._now
        return child

    def _split(self, run: Run, blocks: int) -> Run:
        """Cut a run in two; returns the first part."""
        owners = len(run.used)
        head = run.split(blocks)
        self._runs += 1
        self._owned += len(head.used) + len(run.used) - owners
        for slot in run.used:
            self._by_slot[slot].runs += 1
        return head

    def _evict(self, shelf: Shelf, count: int) -> None:
        """Take the least recently used blocks from an endpoint, of those used together the deepest first."""
        while count > 0:
            run = shelf.oldest()
            taken = min(count, run.blocks_of(shelf.slot))
            self._take(shelf, run, taken)
            count -= taken

    def _take(self, shelf: Shelf, run: Run, blocks: int) -> None:
        """Take an endpoint's last blocks in a run from it, and let go of blocks that nobody has any more."""
        slot = shelf.slot
        if not blocks:
            return
        left = run.blocks_of(slot) - blocks
        run.give(slot, left)
        shelf.blocks -= blocks
        if not left:
            shelf.runs -= 1
            self._owned -= 1
        most = len(run.hashes) if run.full else max((run.partial or {}).values(), default=0)
        if most < len(run.hashes):
            self._cut(run, most)

    def _cut(self, run: Run, blocks: int) -> None:
        """Keep only so many blocks of a run; what went on after them has nobody any more."""
        self._blocks -= len(run.hashes) - blocks
        if blocks:
            owners = {slot: run.blocks_of(slot) for slot in run.used}
            del run.hashes[blocks:]
            for slot, had in owners.items():
                run.give(slot, had)
        elif run.parent is not None:
            self._runs -= 1
            children, first = run.parent.children, run.hashes[0]
            if children is not None and children.get(first) is run:
                del children[first]
            del run.hashes[:]  # uses may refer to it for long

    def _keep_within_bytes(self) -> None:
        """Take from the endpoints that used theirs least recently until all fit."""
        if self.bytes_used <= self.max_bytes:
            return
        queue = [(shelf.oldest_moment(), slot) for slot, shelf in self._by_slot.items() if shelf.blocks]
        heapq.heapify(queue)
        while self.bytes_used > self.max_bytes and queue:
            shelf = self._by_slot[queue[0][1]]
            self._evict(shelf, max(1, shelf.blocks // 16))
            if shelf.blocks:
                heapq.heapreplace(queue, (shelf.oldest_moment(), shelf.slot))
            else:
                heapq.heappop(queue)

    def _clean(self, runs: int) -> None:
        """Let go of some runs of endpoints that were removed."""
        while self._leaving and runs:
            shelf = self._leaving[0]
            if shelf.blocks:
                run = shelf.oldest()
                self._take(shelf, run, run.blocks_of(shelf.slot))
                runs -= 1
            else:
                self._leaving.popleft()
                del self._by_slot[shelf.slot], self._endpoints[shelf.slot]
                self._free_slots.append(shelf.slot)

    def _shelf(self, endpoint: E) -> Shelf:
        shelf = self._shelves.get(endpoint)
        if shelf is None:
            slot = self._free_slots.pop() if self._free_slots else len(self._by_slot)
            shelf = self._shelves[endpoint] = self._by_slot[slot] = Shelf(slot, self._capacity_of(endpoint))
            self._endpoints[slot] = endpoint
            self._alive |= 1 << slot
        return shelf

    def _note(self, depths: dict[E, int], slots: int, depth: int) -> None:
        """Write how far the endpoints of a bitmask matched."""
        if depth:
            endpoints = self._endpoints
            for slot in bits(slots):
                depths[endpoints[slot]] = depth
