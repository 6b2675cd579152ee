"""What model servers count themselves: the truth that a picker's guesses are held against."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp

_SAMPLE = re.compile(r"^vllm:prefix_cache_(queries|hits)_total\{[^}]*\} (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class PrefixCounters:
    """Prompt tokens that were looked up in prefix caches, and those that were found; of all servers together."""

    queries: float
    hits: float

    def __sub__(self, earlier: "PrefixCounters") -> "PrefixCounters":
        return PrefixCounters(self.queries - earlier.queries, self.hits - earlier.hits)

    @property
    def hit_ratio(self) -> float:
        """Share of prompt tokens found, 0..1."""
        return self.hits / self.queries if self.queries else 0.0


async def prefix_counters(servers: Sequence[str]) -> PrefixCounters:
    """Return the sum over servers, each ``host:port`` with a vLLM metrics page."""
    totals = {"queries": 0.0, "hits": 0.0}
    async with aiohttp.ClientSession() as http:
        for server in servers:
            async with http.get(f"http://{server}/metrics") as response:
                for name, value in _SAMPLE.findall(await response.text()):
                    totals[name] += float(value)
    return PrefixCounters(**totals)
