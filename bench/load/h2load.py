"""`h2load`: a fixed number of requests as fast as they are answered, or requests at a fixed rate."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from load.errors import LoadError
from load.generators import PATH, chat_body, output_of

CONNECTIONS = 16
PACED_CONNECTIONS = 50
AT_ONCE = 64
"""Requests that may be open on one connection of a paced load: more than ever are."""
LEAST_OF_RATE = 0.95
"""Of the rate that was asked for: with less, what was measured is another rate's latency."""
_FINISHED = re.compile(r"^finished in \S+, ([\d.]+) req/s", re.MULTILINE)
_REQUESTS = re.compile(r"^requests: (\d+) total, .* (\d+) succeeded,", re.MULTILINE)
_STATUSES = re.compile(r"^status codes: (\d+) 2xx,", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Answered:
    """How many requests were answered, all of them well, and how many in a second."""

    requests: int
    per_s: float


@dataclass(frozen=True, slots=True)
class Timed:
    """How long each request took, and how many were sent in a second."""

    took_ms: Sequence[float]
    per_s: float


async def send(url: str, *, body_bytes: int, requests: int) -> Answered:
    """Send requests over 16 connections, and return when the last is answered; raises `LoadError`."""
    with TemporaryDirectory() as folder:
        body = Path(folder) / "body.json"
        body.write_text(chat_body(body_bytes))
        options = ["--h1", f"-c{min(CONNECTIONS, requests)}", f"-n{requests}", "-d", str(body)]
        return read_summary(await output_of("h2load", *options, *_CONTENT_TYPE, url + PATH))


async def send_paced(
    url: str, *, body_bytes: int, per_s: int, requests: int, headers: Sequence[str] = ()
) -> Sequence[float]:
    """Send requests evenly, and return how long each took, in milliseconds; raises `LoadError`.

    From 50 HTTP/2 connections, opened one after the other, so that their turns are evenly apart too: requests of one
    connection, or of many opened at once, come in bursts. No request waits for another one to be answered.
    """
    with TemporaryDirectory() as folder:
        body, log = (Path(folder) / name for name in ("body.json", "log"))
        body.write_text(chat_body(body_bytes))
        pace = ["-r1", f"--rate-period={1_000 // per_s}ms", f"--rps={per_s / PACED_CONNECTIONS:g}"]
        options = [f"-c{PACED_CONNECTIONS}", f"-m{AT_ONCE}", f"-n{requests}", "-d", str(body), f"--log-file={log}"]
        named = [word for header in headers for word in ("-H", header)]
        answered = read_summary(await output_of("h2load", *pace, *options, *_CONTENT_TYPE, *named, url + PATH))
        timed = read_log(log.read_text())
    if not len(timed.took_ms) == answered.requests == requests:
        raise LoadError(f"{requests} requests were to be sent, {len(timed.took_ms)} are in h2load's log")
    if timed.per_s < LEAST_OF_RATE * per_s:
        raise LoadError(f"h2load sent {timed.per_s:.0f} requests a second instead of {per_s}")
    return timed.took_ms


def read_summary(printed: str) -> Answered:
    """Return what `h2load` counted; raises `LoadError` when any request was not answered with 2xx."""
    finished, requests, statuses = (pattern.search(printed) for pattern in (_FINISHED, _REQUESTS, _STATUSES))
    if finished is None or requests is None or statuses is None:
        raise LoadError(f"h2load printed no summary:\n{printed}")
    total, succeeded, well = int(requests[1]), int(requests[2]), int(statuses[1])
    if not total == succeeded == well:
        raise LoadError(f"h2load: of {total} requests {succeeded} succeeded, {well} with 2xx")
    return Answered(total, float(finished[1]))


def read_log(text: str) -> Timed:
    """Return what ``--log-file`` says of each request, all of them answered well; raises `LoadError`.

    Its columns: start in microseconds, status, duration in microseconds.
    """
    rows = [line.split("\t") for line in text.splitlines()]
    if bad := [row[1] for row in rows if not row[1].startswith("2")]:
        raise LoadError(f"h2load: {len(bad)} of {len(rows)} requests were not answered with 2xx, but {set(bad)}")
    starts_us = sorted(int(row[0]) for row in rows)
    if not starts_us or starts_us[0] == starts_us[-1]:
        raise LoadError("h2load's log has no requests of which a rate could be told")
    per_s = (len(rows) - 1) * 1e6 / (starts_us[-1] - starts_us[0])
    return Timed([int(row[2]) / 1_000 for row in rows], per_s)


_CONTENT_TYPE = ("-H", "content-type: application/json")
