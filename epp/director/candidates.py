"""The endpoints in play for one request."""

from collections.abc import Sequence

from epp.plugin import DropReason, Endpoint, Rejection


def list_candidates(pool: Sequence[Endpoint], subset: Sequence[str] | None) -> list[Endpoint]:
    """Return the ready endpoints, only those of the gateway's subset hint (``ip:port``) where there is one.

    Raises `Rejection` (503) when none is left, saying whether the pool is empty, not ready, or outside the hint.
    """
    ready = [endpoint for endpoint in pool if endpoint.ready]
    if not ready:
        what = f"none of the pool's {len(pool)} endpoints is ready" if pool else "the pool has no endpoints"
        raise Rejection(DropReason.NO_ENDPOINTS, f"{what}; retry later")
    if subset is None:
        return ready
    allowed = set(subset)
    candidates = [endpoint for endpoint in ready if endpoint.host_port in allowed]
    if not candidates:
        raise Rejection(
            DropReason.NO_ENDPOINTS,
            f"none of the {len(ready)} ready endpoints is in the gateway's subset of {len(allowed)}",
        )
    return candidates
