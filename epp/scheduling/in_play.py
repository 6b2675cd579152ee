"""Which candidates are in play for one request: not those that fail, and new ones only by and by.

It is asked after the filters: what they leave is never emptied here.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from epp.plugin import Endpoint
from epp.plugin.endpoint import WARM_UP_S, Settling


@dataclass(frozen=True, slots=True)
class InPlay:
    """Leaves out endpoints that are avoided, unless all are, and by chance those that are new.

    What is new is empty, and would win every comparison of load. Of n candidates m that are new are at first in play
    for m in n requests, in the end for all: the chance is ``(m / n) ** (time left / WARM_UP_S)``. Where all are new,
    none is left out.
    """

    clock: Callable[[], float]
    random: random.Random
    settling: Settling = field(default_factory=Settling)

    def of(self, candidates: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """Return the candidates that may be chosen; at least one of them."""
        now_s = self.clock()
        if self.settling.until_s <= now_s or max([one.warm_at_s for one in candidates]) <= now_s:
            return candidates
        candidates = without_avoided(candidates, now_s)
        warming = {endpoint for endpoint in candidates if endpoint.warm_at_s > now_s}
        if not warming or len(warming) == len(candidates):
            return candidates
        fair, drawn = len(warming) / len(candidates), self.random.random()
        held = {one for one in warming if drawn > fair ** min(1.0, (one.warm_at_s - now_s) / WARM_UP_S)}
        return [endpoint for endpoint in candidates if endpoint not in held] if held else candidates


def without_avoided(candidates: Sequence[Endpoint], now_s: float) -> Sequence[Endpoint]:
    """Return the candidates that are not avoided now; all of them when all are."""
    return [endpoint for endpoint in candidates if endpoint.avoided_until_s <= now_s] or candidates
