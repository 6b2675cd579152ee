"""Runs: the nodes of the index' trie, each a stretch of blocks."""

from array import array
from collections.abc import Sequence


class Run:
    """Blocks that follow each other in every chain that has the last of them, and who has how many of them.

    An endpoint, known by its slot, has the blocks of a run from the first one on: all of them (a bit in ``full``), or
    some (``partial``). What it has of a run it got, or used last, at one moment (``used``), and has not yet been seen
    to have (a bit in ``unconfirmed``) or has.
    """

    __slots__ = ("children", "full", "hashes", "parent", "partial", "start", "unconfirmed", "used")

    def __init__(self, hashes: "array[int]", *, parent: "Run | None", start: int) -> None:
        self.hashes = hashes
        self.parent = parent
        self.start = start
        """How many blocks are before it in the chain."""
        self.children: dict[int, Run] | None = None
        """By their first block; ``None`` for none, as in most runs."""
        self.full = 0
        self.partial: dict[int, int] | None = None
        """Slot -> blocks, at least one and not all."""
        self.used: dict[int, int] = {}
        """Slot -> the moment of the last use."""
        self.unconfirmed = 0

    def child(self, block: int) -> "Run | None":
        """Return the run that goes on with a block."""
        return self.children.get(block) if self.children is not None else None

    def adopt(self, run: "Run") -> None:
        """Let a run go on after this one."""
        if self.children is None:
            self.children = {}
        self.children[run.hashes[0]] = run
        run.parent = self

    def blocks_of(self, slot: int) -> int:
        """Return how many of its blocks an endpoint has."""
        if self.full >> slot & 1:
            return len(self.hashes)
        return self.partial.get(slot, 0) if self.partial is not None else 0

    def goes_on_for(self, slot: int) -> bool:
        """Tell whether an endpoint has blocks of a run after this one."""
        return any(child.blocks_of(slot) for child in (self.children or {}).values())

    def give(self, slot: int, blocks: int) -> None:
        """Let an endpoint have so many blocks from the first one on, none for 0."""
        if blocks == len(self.hashes):
            self.full |= 1 << slot
        else:
            self.full &= ~(1 << slot)
        if 0 < blocks < len(self.hashes):
            if self.partial is None:
                self.partial = {}
            self.partial[slot] = blocks
        elif self.partial is not None:
            self.partial.pop(slot, None)
            if not self.partial:
                self.partial = None
        if not blocks:
            self.used.pop(slot, None)
            self.unconfirmed &= ~(1 << slot)

    def shared(self, chain: Sequence[int], start: int) -> int:
        """Return how many of its blocks are in a chain from a place on; the first one is.

        A hash covers everything before it, so that two chains which agree in one place agree up to there: the last
        common block is found by halving.
        """
        most = min(len(self.hashes), len(chain) - start)
        if self.hashes[most - 1] == chain[start + most - 1]:
            return most
        same, other = 1, most
        while other - same > 1:
            middle = (same + other) // 2
            if self.hashes[middle - 1] == chain[start + middle - 1]:
                same = middle
            else:
                other = middle
        return same

    def split(self, blocks: int) -> "Run":
        """Cut it in two and return the first part, of so many blocks; the object stays the second part.

        So a reference to a run leads to its last blocks, and from there to its first by ``parent``.
        """
        assert self.parent is not None  # noqa: S101 - the root has no blocks to be cut
        head = Run(self.hashes[:blocks], parent=self.parent, start=self.start)
        self.parent.adopt(head)
        owners, unconfirmed = list(self.used), self.unconfirmed
        had = {slot: self.blocks_of(slot) for slot in owners}
        self.hashes = self.hashes[blocks:]
        self.start += blocks
        head.adopt(self)
        self.full, self.partial = 0, None
        for slot in owners:
            head.used[slot] = self.used[slot]
            head.give(slot, min(had[slot], blocks))
            self.give(slot, max(0, had[slot] - blocks))
        head.unconfirmed = unconfirmed
        return head
