"""``epp check-config``: a configuration is built as it would be to serve, looked at, and let go."""

import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import msgspec
from prometheus_client import CollectorRegistry

from epp.advice import advice_against, advice_on, memory_bytes
from epp.assembled import Surroundings
from epp.assembly import assemble_text
from epp.config.places import Place, Places
from epp.observability import Metrics, make_logger
from epp.plugin import ConfigurationError, Endpoint, EndpointSpec, Problem

PAGE_TIMEOUT_S = 5.0
MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing about a configuration, and where it stands."""

    path: str
    message: str
    place: Place | None

    def line(self, file: str, kind: str) -> str:
        """Return it as compilers write it: ``file:line:column: kind: path: message``."""
        place = f"{self.place.line}:{self.place.column}:" if self.place else ""
        return f"{file}:{place} {kind}: {self.path}{': ' if self.path else ''}{self.message}"

    def document(self) -> dict[str, object]:
        """Return it as JSON has it; ``null`` for a place that is not known."""
        line, column = (self.place.line, self.place.column) if self.place else (None, None)
        return {"path": self.path, "message": self.message, "line": line, "column": column}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found."""

    errors: Sequence[Finding] = ()
    advice: Sequence[Finding] = ()
    profiles: Sequence[str] = ()
    """One line for each."""
    memory_bytes: int = 0
    """The most that the plugins' indexes may take."""

    def complaints(self, file: str) -> list[str]:
        """Return errors and advice for people, a line each."""
        errors = [finding.line(file, "error") for finding in self.errors]
        return errors + [finding.line(file, "advice") for finding in self.advice]

    def summary(self, file: str) -> list[str]:
        """Return what a valid configuration is, a line for each profile, and one for memory."""
        lines = [f"{file}: ok: {profile}" for profile in self.profiles]
        if self.memory_bytes:
            lines.append(f"{file}: ok: indexes take up to {self.memory_bytes / MEBIBYTE:.0f} MiB")
        return lines

    def as_json(self, file: str) -> str:
        """Return it for programs."""
        document = {
            "file": file,
            "valid": not self.errors,
            "errors": [finding.document() for finding in self.errors],
            "advice": [finding.document() for finding in self.advice],
            "profiles": self.profiles,
            "maxIndexBytes": self.memory_bytes,
        }
        return msgspec.json.format(msgspec.json.encode(document)).decode()


def check_text(text: str, page: bytes | None = None) -> Report:
    """Return what is wrong with a configuration, or what there is to think about.

    ``page`` is an engine's metrics page that it should fit together with.
    """
    places = Places(text)
    surroundings = Surroundings(
        metrics=Metrics(CollectorRegistry()),
        log=make_logger(0, stream=sys.stderr),
        random=random.Random(0),  # noqa: S311 - nothing is picked
    )
    try:
        assembly = assemble_text(text, surroundings)
    except ConfigurationError as error:
        return Report(errors=[_finding(problem, places) for problem in error.problems])
    advice = advice_on(assembly)
    if page is not None:
        spec = EndpointSpec(name="against", address="127.0.0.1", port=1)
        advice += advice_against(assembly, Endpoint(spec), page)
    lines = []
    for profile in assembly.profiles:
        scorers = ", ".join(f"{one.name} x {one.weight:g}" for one in profile.scorers)
        lines.append(f"profile {profile.name}: {scorers or 'no scorer'}")
    findings = [_finding(problem, places) for problem in advice]
    return Report(advice=findings, profiles=lines, memory_bytes=memory_bytes(assembly))


async def page_of(where: str) -> bytes:
    """Return a metrics page, from a URL or a file; raises `OSError` when it cannot be had."""
    if not where.startswith(("http://", "https://")):
        return _read(Path(where))
    timeout = aiohttp.ClientTimeout(total=PAGE_TIMEOUT_S)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as http, http.get(where) as response:
            response.raise_for_status()
            return await response.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise OSError(f"{where}: {str(error) or 'no answer in time'}") from error


def _read(path: Path) -> bytes:
    return path.read_bytes()


def _finding(problem: Problem, places: Places) -> Finding:
    return Finding(path=problem.path, message=problem.message, place=places.of(problem.path))
