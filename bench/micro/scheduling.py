"""What one decision of the default profile takes, from the candidates to the pick: ``make bench-micro``.

CPU of this process, medians, with load and matches that differ between endpoints.
"""

import random
import sys
from functools import partial

from prometheus_client import CollectorRegistry
from timing import median_us

from epp.assembled import Surroundings
from epp.assembly import assemble_text
from epp.observability import Metrics, make_logger
from epp.plugin import Endpoint, InferenceRequest, PrefixMatches
from epp.plugin.endpoint import Settling
from epp.plugin.testing import make_endpoint, make_request
from epp.scheduling import Scheduler

BOUNDS_US = {10: 15.0, 100: 60.0, 1000: 600.0}
"""By number of endpoints."""
REPEATS = 2000
"""Of the largest pool. Smaller ones are decided over oftener, so that a round is as long: a processor that has just
been woken is slow.
"""
SHARE_WITH_MATCH = 0.3


def make_pool(count: int, rng: random.Random) -> list[Endpoint]:
    """Return endpoints with loads that differ."""
    return [
        make_endpoint(
            f"pod-{i}",
            port=8000 + i,
            waiting=rng.randrange(20),
            running=rng.randrange(50),
            kv_cache_ratio=rng.random(),
        )
        for i in range(count)
    ]


def matched_request(pool: list[Endpoint], rng: random.Random) -> InferenceRequest:
    """Return a request of which some endpoints have a part."""
    request = make_request()
    matched = {one: rng.randrange(1, 1000) for one in pool if rng.random() < SHARE_WITH_MATCH}
    request.attach(PrefixMatches(matched_tokens=matched, total_tokens=1000, first_block=7))
    return request


def make_scheduler(rng: random.Random) -> Scheduler:
    """Return that of the default profile, over a pool that has settled."""
    log, metrics = make_logger(0, stream=sys.stderr), Metrics(CollectorRegistry())
    surroundings = Surroundings(metrics=metrics, log=log, random=rng, settling=Settling(until_s=0.0))
    return assemble_text(None, surroundings).scheduler


def main() -> int:
    """Print the table; 1 when a decision takes longer than it may."""
    rng = random.Random(0)  # noqa: S311 - loads, not secrets
    scheduler = make_scheduler(rng)
    print("| endpoints | decision us | may take us |\n|---|---|---|")
    is_late = False
    for count, bound_us in BOUNDS_US.items():
        pool = make_pool(count, rng)
        request = matched_request(pool, rng)
        decision_us = median_us(partial(scheduler.schedule, request, pool), repeats=REPEATS * max(BOUNDS_US) // count)
        is_late = is_late or decision_us > bound_us
        print(f"| {count} | {decision_us:.1f} | {bound_us:.0f} |")
    return int(is_late)


if __name__ == "__main__":
    sys.exit(main())
