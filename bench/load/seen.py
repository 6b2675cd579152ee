"""Whether every request was asked about: by Envoy's own count, and by the picker's."""

import json
import re
from dataclasses import dataclass

import aiohttp

from epp.demo.parts import HOST
from load.errors import LoadError
from load.subjects import Running

_SAMPLE = re.compile(r"^(epp_requests_total|epp_request_errors_total|epp_picks_total)(?:\{.*\})? (\S+)$", re.MULTILINE)
_STAT = "http.inference.ext_proc."


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Counters that only grow."""

    streams: int = 0
    """ext_proc streams that Envoy began."""
    failed: int = 0
    messages: int = 0
    """ext_proc messages that Envoy sent."""
    requests: int | None = None
    """That the picker received; none for others than ours."""
    picks: int | None = None
    errors: int | None = None

    def since(self, earlier: "Seen") -> "Seen":
        """Return what was counted after an earlier reading."""
        return Seen(
            streams=self.streams - earlier.streams,
            failed=self.failed - earlier.failed,
            messages=self.messages - earlier.messages,
            requests=_difference(self.requests, earlier.requests),
            picks=_difference(self.picks, earlier.picks),
            errors=_difference(self.errors, earlier.errors),
        )


async def seen(running: Running) -> Seen:
    """Read the counters of a subject's Envoy, and those of the picker where it is ours."""
    async with aiohttp.ClientSession() as http:
        stats = await _text(http, f"http://{HOST}:{running.ports.admin}/stats?filter=ext_proc&format=json")
        page = ""
        if port := running.asked.metrics_port:
            page = await _text(http, f"http://{HOST}:{port}/metrics")
    return read_counters(stats, page)


async def _text(http: aiohttp.ClientSession, url: str) -> str:
    async with http.get(url) as response:
        response.raise_for_status()
        return await response.text()


def read_counters(stats: str, page: str) -> Seen:
    """Return the counters of Envoy's statistics (JSON) and of our picker's metrics page (empty: not ours)."""
    envoy = {row["name"]: row["value"] for row in json.loads(stats)["stats"] if "value" in row}
    streams, failed, messages = (
        envoy.get(_STAT + name, 0) for name in ("streams_started", "streams_failed", "stream_msgs_sent")
    )
    if not page:
        return Seen(streams=streams, failed=failed, messages=messages)
    totals = dict.fromkeys(("epp_requests_total", "epp_request_errors_total", "epp_picks_total"), 0)
    for name, value in _SAMPLE.findall(page):
        totals[name] += int(float(value))
    requests, errors, picks = totals.values()
    return Seen(streams=streams, failed=failed, messages=messages, requests=requests, picks=picks, errors=errors)


def require_seen(requests: int, counted: Seen, *, unfinished: int = 0) -> None:
    """Raise `LoadError` unless each request was asked about once, and routed.

    ``unfinished``: how many more may have been begun, by a client that stops after a time.
    """
    most = requests + unfinished
    counts = {"streams": counted.streams, "requests": counted.requests, "picks": counted.picks}
    for name, count in counts.items():
        if count is not None and not requests <= count <= most:
            raise LoadError(f"{requests} requests were answered, but {count} {name} were counted")
    if counted.errors:
        raise LoadError(f"the picker answered {counted.errors} requests itself")
    if counted.failed > unfinished:
        raise LoadError(f"{counted.failed} ext_proc streams failed")


def _difference(later: int | None, earlier: int | None) -> int | None:
    return None if later is None or earlier is None else later - earlier
