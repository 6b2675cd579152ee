"""Whether requests should come here, and what is in the way if not."""

import enum
from collections.abc import Callable


class Need(enum.StrEnum):
    """What it takes to be ready."""

    SERVING = "the ext_proc port is open, and not draining"
    POOL = "the pool is known"
    POLICIES = "objectives and rewrites were asked for"
    LEADERSHIP = "this picker is the leader"


class Readiness:
    """Ready when every need is met."""

    def __init__(self, tell: Callable[[bool], None], needs: set[Need]) -> None:
        """Take who is told, and what it takes."""
        self._tell = tell
        self._unmet = set(needs)

    @property
    def unmet(self) -> list[Need]:
        """What is in the way."""
        return [need for need in Need if need in self._unmet]

    def is_met_but(self, one: Need) -> bool:
        """Tell whether nothing else is in the way."""
        return self._unmet <= {one}

    def note(self, need: Need, *, is_met: bool) -> None:
        """Take note of one."""
        if is_met:
            self._unmet.discard(need)
        else:
            self._unmet.add(need)
        self._tell(not self._unmet)
