"""The configuration file, which keeps changing."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import yaml
from soak.servers import replace

CONFIGS = Path(__file__).parents[2] / "config"
EVERY_S = 5.0
"""Longer than the picker takes to see the same new file twice."""
BROKEN_EVERY = 4
"""Each so many files, one is refused."""


@dataclass(slots=True)
class Reloads:
    """What was written."""

    file: Path
    pool: Path
    valid: int = 0
    broken: int = 0

    def begin(self) -> None:
        """Write the first file."""
        self.file.write_text(config(self.pool, 0))

    async def keep_changing(self, stop: asyncio.Event) -> None:
        """Write one file after the other until told to stop; the last one has been there long enough to be seen."""
        number = 0
        while not stop.is_set():
            number += 1
            is_broken = number % BROKEN_EVERY == 0
            replace(self.file, broken(self.pool, number) if is_broken else config(self.pool, number))
            self.broken += is_broken
            self.valid += not is_broken
            await asyncio.sleep(EVERY_S)


def config(pool: Path, number: int) -> str:
    """Return the default profile over a pool in a file, or, for odd numbers, other weights and plugins.

    The odd ones bring a prefix index of their own, so that the whole index is given up and begun anew. Each number has
    a weight of its own, so that no file is what is in use already.
    """
    document = yaml.safe_load((CONFIGS / "default.yaml").read_text())
    document["plugins"].append(
        {"type": "file-discovery", "parameters": {"path": str(pool), "watchFile": True}},
    )
    document["dataLayer"] = {"discovery": {"pluginRef": "file-discovery"}}
    (profile,) = document["schedulingProfiles"]
    profile["plugins"][0]["weight"] = 2 + number / 1000
    if number % 2:
        parameters = {"maxPrefixBlocksToMatch": 512}
        document["plugins"].append({"type": "approx-prefix-cache-producer", "parameters": parameters})
        document["plugins"].append({"type": "active-request-scorer"})
        profile["plugins"].append({"pluginRef": "active-request-scorer", "weight": 1})
    return yaml.safe_dump(document)


def broken(pool: Path, number: int) -> str:
    """Return a file that has to be refused."""
    return config(pool, number).replace("prefix-cache-scorer", "no-such-scorer")
