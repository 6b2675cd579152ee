"""``epp check-config``: a configuration is built as it would be to serve, looked at, and let go."""

import random
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec
from prometheus_client import CollectorRegistry

from epp.advice import advice_against, advice_on, memory_bytes
from epp.assembled import Assembly, Surroundings
from epp.assembly import assemble_text
from epp.config import PlacedProblem
from epp.config.places import Place, Places
from epp.observability import Metrics, make_logger
from epp.plugin import ConfigurationError, Endpoint, EndpointSpec, Problem
from epp.scheduling import Profile

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
        return Report(errors=_findings(error.problems, places))
    advice = advice_on(assembly)
    if page is not None:
        spec = EndpointSpec(name="against", address="127.0.0.1", port=1)
        advice += advice_against(assembly, Endpoint(spec), page)
    return Report(
        advice=_findings(advice, places), profiles=list(_profile_lines(assembly)), memory_bytes=memory_bytes(assembly)
    )


def _profile_lines(assembly: Assembly) -> Iterator[str]:
    for profile in assembly.profiles:
        yield f"profile {profile.name}: {_scorers_of(profile)}"
    if assembly.shadow is not None:
        profile, share = assembly.shadow.profile, assembly.shadow.sample_ratio
        yield f"profile {profile.name}, in the shadow of {share * 100:.4g}% of the requests: {_scorers_of(profile)}"


def _scorers_of(profile: Profile) -> str:
    return ", ".join(f"{one.name} x {one.weight:g}" for one in profile.scorers) or "no scorer"


def _findings(problems: Iterable[Problem], places: Places) -> list[Finding]:
    """Return them as they stand in the file from top to bottom."""
    found = [Finding(path=one.path, message=one.message, place=_place(one, places)) for one in problems]
    return sorted(found, key=lambda one: (one.place.line, one.place.column) if one.place else (0, 0))


def _place(problem: Problem, places: Places) -> Place | None:
    if isinstance(problem, PlacedProblem):
        return Place(problem.line, problem.column)
    return places.of(problem.path)
