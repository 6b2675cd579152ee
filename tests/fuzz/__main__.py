"""``python -m tests.fuzz COUNT [SEED]``: hostile inputs for everything that reads bytes from outside."""

import sys
import time

from tests.fuzz.targets import TARGETS, run


def main(count: int, seed: int = 0) -> None:
    """Run all targets with their share of the inputs, and say how many there were."""
    share = -(-count // len(TARGETS))
    for name in TARGETS:
        started = time.monotonic()
        run(name, seed, share)
        took_s = time.monotonic() - started
        print(f"{name:16} {share:9,} inputs, seeds {seed} to {seed + share - 1}, {took_s:4.0f} s: ok", flush=True)
    print(f"{share * len(TARGETS):,} inputs, no failure")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
