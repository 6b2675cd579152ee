"""What one endpoint has in the index, in the order in which it was used."""

from collections import deque
from dataclasses import dataclass, field

from msgspec import Struct

from epp_plugins.prefix.runs import Run

SPARE_USES = 64
"""How many uses may be kept beyond twice the runs, before those are dropped that say nothing any more."""


@dataclass(slots=True)
class Shelf:
    """What one endpoint has."""

    slot: int
    capacity_blocks: int
    blocks: int = 0
    runs: int = 0
    uses: deque[tuple[Run, int]] = field(default_factory=deque)
    """The last run of each use with its moment, oldest first; some have been used again since."""

    def use(self, run: Run, moment: int) -> None:
        """Note that a run, and all before it, is used."""
        self.uses.append((run, moment))
        if len(self.uses) > 2 * self.runs + SPARE_USES:
            self.forget_old_uses()

    def oldest(self) -> Run:
        """Return the deepest run of the least recent use. There is one as long as there are blocks."""
        while True:
            run, moment = self.uses[0]
            last = _last_of(run, moment, slot=self.slot)
            if last is not None:
                self.uses[0] = last, moment
                return last
            self.uses.popleft()

    def oldest_moment(self) -> int:
        """Return when that was."""
        self.oldest()
        return self.uses[0][1]

    def forget_old_uses(self) -> None:
        """Drop the uses of runs that have been used again since."""
        self.uses = deque(use for use in self.uses if _last_of(*use, slot=self.slot) is not None)


class Claim(Struct, frozen=True, gc=False):
    """Blocks that an endpoint was said to have, until it is confirmed or withdrawn."""

    shelf: Shelf
    last: Run
    """Has the last of them, unless it was cut since: then a run before it has."""
    depth: int
    """How many blocks there are."""

    def run(self) -> Run:
        """Return the run that has the last of them."""
        run = self.last
        while run.parent is not None and run.start >= self.depth:
            run = run.parent
        return run


def _last_of(run: Run, moment: int, *, slot: int) -> Run | None:
    """Return the deepest run that still counts as used at a moment, ``None`` when there is none left."""
    while run.parent is not None:
        last = run.used.get(slot)
        if last is not None:
            # What is before it was used no earlier than this.
            return run if last == moment else None
        run = run.parent
    return None
