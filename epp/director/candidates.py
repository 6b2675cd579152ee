"""The endpoints in play for one request."""

import random
from collections.abc import Sequence

from epp.plugin import WARM_UP_S, DropReason, Endpoint, Rejection


def list_candidates(pool: Sequence[Endpoint], subset: Sequence[str] | None, now_s: float) -> list[Endpoint]:
    """Return the ready endpoints, only those of the gateway's subset hint (``ip:port``) where there is one.

    Those that are avoided because they fail are left out, unless no other is left. Raises `Rejection` (503) when none
    is left at all, saying whether the pool is empty, not ready, or outside the hint.
    """
    ready = [endpoint for endpoint in pool if endpoint.ready]
    if not ready:
        what = f"none of the pool's {len(pool)} endpoints is ready" if pool else "the pool has no endpoints"
        raise Rejection(DropReason.NO_ENDPOINTS, f"{what}; retry later")
    if subset is None:
        return _without_avoided(ready, now_s)
    allowed = set(subset)
    candidates = [endpoint for endpoint in ready if endpoint.host_port in allowed]
    if not candidates:
        raise Rejection(
            DropReason.NO_ENDPOINTS,
            f"none of the {len(ready)} ready endpoints is in the gateway's subset of {len(allowed)}",
        )
    return _without_avoided(candidates, now_s)


def _without_avoided(candidates: list[Endpoint], now_s: float) -> list[Endpoint]:
    return [endpoint for endpoint in candidates if endpoint.avoided_until_s <= now_s] or candidates


def hold_back_warming(candidates: list[Endpoint], now_s: float, rng: random.Random) -> list[Endpoint]:
    """Leave out endpoints that are new, by chance, so that their share grows instead of their getting everything.

    What is new is empty, and would win every comparison of load. Of n candidates m that are new are at first in play
    for m in n requests, in the end for all: the chance is ``(m / n) ** (time left / WARM_UP_S)``. Where all are new,
    none is left out.
    """
    warming = {endpoint for endpoint in candidates if endpoint.warm_at_s > now_s}
    if not warming or len(warming) == len(candidates):
        return candidates
    fair, drawn = len(warming) / len(candidates), rng.random()
    held = {e for e in warming if drawn > fair ** min(1.0, (e.warm_at_s - now_s) / WARM_UP_S)}
    return [endpoint for endpoint in candidates if endpoint not in held] if held else candidates
