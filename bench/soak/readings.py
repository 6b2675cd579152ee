"""What can be read of running processes: memory, descriptors, metrics pages, Envoy's counters and access log."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

ACCESS_FORMAT = (
    "%START_TIME(%s.%3f)% %DURATION% %RESPONSE_CODE% %DOWNSTREAM_WIRE_BYTES_SENT% %RESPONSE_FLAGS%"
    " %UPSTREAM_HOST% %RESPONSE_CODE_DETAILS%\n"
)
"""What `Ending` is read from."""
CLIENT_LEFT = frozenset({"DC", "DPE", "SI"})
"""Envoy's flags for a client that closed its connection, in the middle of its request or of its answer."""
_NOBODY = "-"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a request ended that has no 2xx, or broke off; times in seconds since the epoch."""

    ended_at_s: float
    status: int
    """0: the endpoint's answer had not begun."""
    is_answered: bool
    """Whether anything of an answer has gone to the client."""
    flags: frozenset[str]
    endpoint: str
    """``host:port``, empty for none."""
    details: str

    @property
    def is_cancelled(self) -> bool:
        """Whether it was the client that went away."""
        return bool(self.flags & CLIENT_LEFT)


@dataclass(frozen=True, slots=True)
class EnvoyCounts:
    """What Envoy has counted since its start."""

    begun: int
    answered: Mapping[str, int]
    """By class of status, such as ``2xx``."""
    active: int
    streams_begun: int
    """To the picker."""
    stream_faults: Mapping[str, int]
    """Of streams to the picker: those that failed, messages that came late or were refused."""


def read_endings(log: str) -> Sequence[Ending]:
    """Return what an access log of `ACCESS_FORMAT` says."""
    endings = []
    for line in log.splitlines():
        started, duration_ms, status, sent, flags, endpoint, details = line.split(" ", 6)
        names = frozenset() if flags == _NOBODY else frozenset(flags.split(","))
        host = "" if endpoint == _NOBODY else endpoint
        ended_at_s = float(started) + int(duration_ms) / 1000
        endings.append(Ending(ended_at_s, int(status), sent != "0", names, host, details))
    return endings


def metric_sum(page: str, name: str) -> float:
    """Return the sum of a metric's samples on a page, 0 where it has none; ``name`` may be followed by labels."""
    lines = (line for line in page.splitlines() if line.startswith((f"{name} ", f"{name}{{")))
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def envoy_counts(stats: Mapping[str, int]) -> EnvoyCounts:
    """Return what counts of Envoy's statistics, given by name."""
    client, asking = "http.inference.downstream_rq_", "http.inference.ext_proc."
    faults = ("streams_failed", "message_timeouts", "spurious_msgs_received", "failure_mode_allowed")
    return EnvoyCounts(
        begun=stats[f"{client}total"],
        answered={kind: stats[f"{client}{kind}"] for kind in ("2xx", "3xx", "4xx", "5xx")},
        active=stats[f"{client}active"],
        streams_begun=stats[f"{asking}streams_started"],
        stream_faults={fault: stats[f"{asking}{fault}"] for fault in faults},
    )


def resident_bytes(pid: int) -> int:
    """Return a process's resident memory."""
    found = re.search(r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def open_descriptors(pid: int) -> int:
    """Return how many files and sockets a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - names alone


async def read_envoy(http: aiohttp.ClientSession, admin: str) -> EnvoyCounts:
    """Return what the Envoy with this admin address has counted."""
    async with http.get(f"{admin}/stats?format=json&filter=^http.inference") as response:
        entries = json.loads(await response.text())["stats"]
    return envoy_counts({entry["name"]: entry["value"] for entry in entries if "name" in entry})


async def read_page(http: aiohttp.ClientSession, url: str) -> str:
    """Return a page's text."""
    async with http.get(url) as response:
        return await response.text()
