"""What checks say, and the table of it."""

import enum
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from epp.doctor.reaching import PodError
from epp.kube.connection import FORBIDDEN, NOT_FOUND, KubeError
from epp.kube.reflector import UNREADABLE

T = TypeVar("T")


class Outcome(enum.StrEnum):
    """How a check ended."""

    PASS = "pass"  # noqa: S105 - no password
    WARN = "warn"
    """It works, and not as well as it could, or not for everyone."""
    FAIL = "fail"
    SKIPPED = "skipped"
    """It could not be looked at, and the row says why."""


class Row(msgspec.Struct, frozen=True):
    """One line of the table."""

    check: str
    outcome: Outcome
    message: str
    advice: str = ""
    """What to do next; empty where there is nothing to do."""


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """What a check found, and what it makes of it."""

    value: T
    """For the checks that come after; it may be of use to them even where this one failed."""
    message: str
    advice: str = ""
    outcome: Outcome = Outcome.PASS


class FailedError(Exception):
    """Something is wrong, and there is nothing that other checks could go on with."""

    def __init__(self, message: str, advice: str) -> None:
        super().__init__(message)
        self.advice = advice


class SkippedError(Exception):
    """It cannot be looked at."""

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice


class UnknownError(SkippedError):
    """Something that it needs is not known."""


class Known(Generic[T]):
    """What a check that has run has found; or why it has not."""

    def __init__(self, found: Found[T] | None, why_not: str) -> None:
        self._found = found
        self._why_not = why_not

    @property
    def value(self) -> T:
        """What was found; raises `UnknownError` when nothing was, for the check that needs it."""
        if self._found is None:
            raise UnknownError(self._why_not)
        return self._found.value

    def value_or(self, fallback: T) -> T:
        """Return what was found, for a check that can do without."""
        return fallback if self._found is None else self._found.value


class Sheet:
    """Runs checks one after the other, and keeps their rows."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    async def run(self, name: str, check: Callable[[], Awaitable[Found[T]]]) -> Known[T]:
        """Run a check, whatever becomes of it; errors of API server and pods are outcomes."""
        found: Found[T] | None = None
        why_not = ""
        try:
            found = await check()
            row = _row(name, found.outcome, found.message, found.advice)
        except FailedError as error:
            row = _row(name, Outcome.FAIL, str(error), error.advice)
        except SkippedError as error:
            row = _row(name, Outcome.SKIPPED, str(error), error.advice)
            why_not = str(error) if isinstance(error, UnknownError) else ""
        except KubeError as error:
            row = _row_of(name, error)
        self.rows.append(row)
        return Known(found, why_not or f"`{name}` {'failed' if row.outcome is Outcome.FAIL else 'was skipped'}")


def _row(check: str, outcome: Outcome, message: str, advice: str) -> Row:
    """Return a row on one line: pods and gateways say what they like, and it is for a terminal."""
    plain = "".join(character if character.isprintable() else " " for character in message)
    return Row(check, outcome, " ".join(plain.split()), advice)


def _row_of(name: str, error: KubeError) -> Row:
    """Return what it means that API server or pod did not answer; what the server forbids is nobody's fault."""
    if error.status == FORBIDDEN and not isinstance(error, PodError):
        return _row(name, Outcome.SKIPPED, f"not allowed: {error}", "run it as somebody who may read this")
    return _row(name, Outcome.FAIL, str(error), f"this could not be looked at: {_reason(error)}")


def _reason(error: KubeError) -> str:
    """Return what to do about an error."""
    if isinstance(error.__cause__, TimeoutError):
        return "try again, with a longer --timeout"
    if isinstance(error.__cause__, UNREADABLE):
        return "it is not what its definition says; is it of another version?"
    match error.status:
        case None:
            return "there is nobody at this address, or a NetworkPolicy is in the way"
        case status if status == NOT_FOUND:
            return "it is not there: is it installed, and in this version?"
        case status if status == FORBIDDEN:
            return "the pod itself does not let us in: is it the one that it should be?"
        case _:
            return "the one that was asked has a problem, which its log shows"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All rows, and of whom."""

    pool: str
    namespace: str
    rows: Sequence[Row]

    @property
    def has_failed(self) -> bool:
        """Tell whether something is wrong."""
        return any(row.outcome is Outcome.FAIL for row in self.rows)

    def as_table(self) -> str:
        """Return it for people: a line for each check, what to do about it below, and a sum."""
        width = max(len(row.check) for row in self.rows)
        lines = []
        for row in self.rows:
            lines.append(f"{row.outcome.value:<7}  {row.check:<{width}}  {row.message}")
            if row.advice:
                lines.append(f"{'':<7}  {'':<{width}}  -> {row.advice}")
        counts = {outcome: sum(row.outcome is outcome for row in self.rows) for outcome in Outcome}
        lines.append(", ".join(f"{count} {outcome.value}" for outcome, count in counts.items() if count))
        return "\n".join(lines)

    def as_json(self) -> str:
        """Return it for programs."""
        document = {
            "pool": self.pool,
            "namespace": self.namespace,
            "failed": self.has_failed,
            "checks": self.rows,
        }
        return msgspec.json.format(msgspec.json.encode(document)).decode()


def is_about_ref(problems: Sequence[str]) -> bool:
    """Tell whether a gateway says that it has not found what something refers to."""
    return any("ResolvedRefs=False" in problem for problem in problems)
