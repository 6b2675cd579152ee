"""Routing quality on recorded traffic: ``make bench-routing TRACES=DIRECTORY``.

Replays the Mooncake traces against eight simulated engines under several policies; prints hit rate and TTFT, and fails
when the default is not what it should be.
"""

import statistics
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from routing.replay import POLICIES, Outcome, replay
from routing.trace import TRAFFICS, Traffic

SEEDS = range(5)
MOST_OF_RAW_P50 = 0.75
NO_WORSE = 1.05
OF_REAL_CACHES = 0.97
MOST_OF_ALL_REQUESTS = 0.5
RAW, DEFAULT, LEAST = "2/2/3, raw, 50 ms", "2/2/3, default, 1 s", "least waiting, raw, 50 ms"
KNOWN, PREFIX_ALONE = "2/2/3, real caches known, 1 s", "prefix alone, 1 s"

Results = Mapping[str, Sequence[Outcome]]


def main(directory: Path) -> None:
    """Run everything; exits with 1 when a bound is missed."""
    failures: list[str] = []
    with ProcessPoolExecutor() as pool:
        for traffic in TRAFFICS:
            jobs = {
                policy.name: [pool.submit(replay, directory, traffic, policy, seed) for seed in SEEDS]
                for policy in POLICIES
            }
            results = {name: [job.result() for job in runs] for name, runs in jobs.items()}
            _print_table(traffic, results)
            failures += _missed(traffic, results)
    if failures:
        sys.exit("\n".join(failures))


def _print_table(traffic: Traffic, results: Results) -> None:
    print(f"\n{traffic.name}: median of {len(SEEDS)} seeds (lowest to highest)")
    print("| policy, scrape | prompt tokens cached | TTFT p50 s | p90 s | p99 s |\n|---|---|---|---|---|")
    for name, runs in results.items():
        cells = [f"{_median(runs, 'hit_ratio'):.1%}"]
        for field in ("p50_s", "p90_s", "p99_s"):
            values = [getattr(run, field) for run in runs]
            cells.append(f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def _missed(traffic: Traffic, results: Results) -> Sequence[str]:
    """Return which bounds the default misses."""
    p50, p99 = (_median(results[DEFAULT], field) for field in ("p50_s", "p99_s"))
    if traffic.shares_nothing:
        bound = NO_WORSE * _median(results[LEAST], "p50_s")
        return [f"{traffic.name}: p50 {p50:.2f} s is over {bound:.2f} s"] if p50 > bound else []
    bounds = {
        "p50": (p50, MOST_OF_RAW_P50 * _median(results[RAW], "p50_s")),
        "p99": (p99, _median(results[RAW], "p99_s")),
    }
    print("; ".join(f"default {name} / bound: {value / bound:.2f}" for name, (value, bound) in bounds.items()))
    late = [
        f"{traffic.name}: {name} {value:.2f} s is over {bound:.2f} s"
        for name, (value, bound) in bounds.items()
        if value > bound
    ]
    return late + _missed_hits(traffic, results)


def _missed_hits(traffic: Traffic, results: Results) -> list[str]:
    """Return whether hits are few for caches that are only believed, and whether one prefix draws everything."""
    found = _median(results[DEFAULT], "hit_ratio") / _median(results[KNOWN], "hit_ratio")
    share = _median(results[PREFIX_ALONE], "largest_share")
    print(f"hits / hits with real caches known: {found:.2f}; prefix alone, largest share of an endpoint: {share:.2f}")
    missed = [f"{traffic.name}: {found:.2f} of the hits that are possible"] if found < OF_REAL_CACHES else []
    return missed + ([f"{traffic.name}: {share:.2f} to one endpoint"] if share > MOST_OF_ALL_REQUESTS else [])


def _median(runs: Sequence[Outcome], field: str) -> float:
    return float(statistics.median(getattr(run, field) for run in runs))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
