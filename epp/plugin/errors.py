"""Typed refusals: of a request, and of a configuration."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass


class DropReason(enum.StrEnum):
    """Bounded label of a rejection: in the ``x-llm-d-request-dropped-reason`` header and in metrics."""

    BAD_REQUEST = "rejected-bad-request"
    IDLE = "rejected-idle"
    BODY_TOO_LARGE = "rejected-body-too-large"
    NO_ROOM = "rejected-no-room"
    NO_ENDPOINTS = "rejected-no-endpoints"
    SATURATED = "rejected-saturated"


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a client is told for a drop reason, beside the message."""

    status: int
    error_type: str
    """The OpenAI API's name for this class of errors."""
    retry_after_s: int | None = None


REFUSALS = {
    DropReason.BAD_REQUEST: Refusal(400, "invalid_request_error"),
    DropReason.IDLE: Refusal(408, "invalid_request_error"),
    DropReason.BODY_TOO_LARGE: Refusal(413, "invalid_request_error"),
    DropReason.NO_ROOM: Refusal(429, "rate_limit_error", retry_after_s=1),
    DropReason.NO_ENDPOINTS: Refusal(503, "service_unavailable_error", retry_after_s=1),
    DropReason.SATURATED: Refusal(429, "rate_limit_error", retry_after_s=1),
}


class Rejection(Exception):  # noqa: N818 - the glossary's word; it is a refusal, not a malfunction
    """A request is refused. The client sees the message, so it says what is wrong, where, and what to do."""

    def __init__(self, reason: DropReason, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.param = param
        """Path of the offending part of the body, such as ``messages[1].content``."""

    @property
    def refusal(self) -> Refusal:
        """What the client is told beside the message: HTTP status, error type, when to retry."""
        return REFUSALS[self.reason]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a configuration, and where."""

    path: str
    """Such as ``plugins[2].parameters.path``; empty for the file as a whole.

    A plugin names its own parameters and nothing around them, such as ``rules[0].label``; empty for the plugin as a
    whole.
    """
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class ConfigurationError(Exception):
    """The process cannot start like this; lists every problem that was found, not just the first."""

    def __init__(self, problems: Iterable[Problem | str] | Problem | str) -> None:
        """Take one problem or several, each a sentence or, where it has a path, a `Problem`."""
        several = [problems] if isinstance(problems, Problem | str) else problems
        self.problems = [Problem("", one) if isinstance(one, str) else one for one in several]
        super().__init__("\n".join(map(str, self.problems)))
