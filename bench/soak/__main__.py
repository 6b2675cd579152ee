"""``make soak``: many requests, and everything that may go wrong around a picker while it serves them.

A real Envoy with one worker asks a picker with the default profile; `clients` play users with `wrk`, and users who go
away; `servers` restarts the model servers one after the other, mostly as a rollout does and now and then by SIGKILL;
`reloads` rewrites the configuration every few seconds, at times with one that has to be refused. `soaking` runs all of
it; `readings` reads processes, pages and logs; `verdict` says what is wrong with what was read, `table` prints it.
"""

import argparse
import asyncio
import shutil
import sys
from collections.abc import Sequence

from soak.soaking import soak
from soak.table import table
from soak.verdict import faults

TRANSPORTS = ("hyper", "grpcio")


async def main(transports: Sequence[str], requests: int) -> int:
    """Soak each transport and print what was found; returns the exit code."""
    if shutil.which("wrk") is None:
        sys.stderr.write("wrk is needed: apt-get install wrk\n")
        return 2
    has_failed = False
    for transport in transports:
        report = await soak(transport, requests)
        print(f"\n{table([report])}", flush=True)
        has_failed = has_failed or any(faults(report))
    return int(has_failed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="soak")
    parser.add_argument("requests", type=int, help="how many requests on each transport")
    parser.add_argument("transports", nargs="*", default=TRANSPORTS)
    arguments = parser.parse_args()
    sys.exit(asyncio.run(main(arguments.transports, arguments.requests)))
