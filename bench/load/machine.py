"""The facts of the machine that figures depend on; nothing that names it."""

import asyncio
import os
import platform
import re
from datetime import UTC, datetime
from pathlib import Path

from epp.demo.envoy import find_envoy
from load.generators import output_of
from load.kernel import TICKS_PER_S
from load.results import Machine

STAT = Path("/proc/stat")
WATCHED_S = 2.0
_VERSION = re.compile(r"version: [0-9a-f]+/([^/\s]+)/")


async def this_machine(picker: str) -> Machine:
    """Return the facts of now."""
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        busy_cores=await busy_cores(),
        envoy=envoy_version(await output_of(str(find_envoy()), "--version")),
        python=platform.python_version(),
        picker=picker,
        date=datetime.now(UTC).date().isoformat(),
    )


async def busy_cores() -> float:
    """Return how many cores' worth of CPU this machine uses now, while we do nothing."""
    before = busy_s()
    await asyncio.sleep(WATCHED_S)
    return (busy_s() - before) / WATCHED_S


def busy_s(stat: Path = STAT) -> float:
    """Return the seconds that all cores have worked: user, nice, system, interrupts."""
    first = stat.read_text().splitlines()[0]
    user, nice, system, _idle, _waiting, hard, soft = (int(word) for word in first.split()[1:8])
    return (user + nice + system + hard + soft) / TICKS_PER_S


def envoy_version(printed: str) -> str:
    """Return the number in what ``envoy --version`` prints."""
    found = _VERSION.search(printed)
    return found[1] if found else "unknown"
