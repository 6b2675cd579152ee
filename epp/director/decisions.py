"""The last decisions, for who asks why."""

import datetime as dt
from collections import deque
from collections.abc import Iterator

from msgspec import Struct

from epp.plugin import Decision, InferenceRequest

MAX_ROWS = 20_000
"""Rated candidates of all decisions that are kept together; a thousand decisions over twenty endpoints."""


class NotedDecision(Struct, frozen=True, gc=False, kw_only=True):
    """One decision, without the prompt."""

    request_id: str
    path: str
    model: str
    at: dt.datetime
    decision: Decision
    rows: int
    """How many rated candidates it holds."""


class DecisionLog:
    """Keeps as many of the last decisions as there is room for; to note one costs a microsecond."""

    def __init__(self, max_rows: int = MAX_ROWS) -> None:
        self._max_rows = max_rows
        self._rows = 0
        self._noted: deque[NotedDecision] = deque()

    def note(self, request: InferenceRequest, decision: Decision) -> None:
        """Keep a decision, and let go of the oldest where there is no room."""
        noted = NotedDecision(
            request_id=request.id,
            path=request.head.get(":path", ""),
            model=request.model,
            at=dt.datetime.now(dt.UTC),
            decision=decision,
            rows=1 + sum([len(result.candidates) for result in decision.results.values()]),
        )
        self._noted.append(noted)
        self._rows += noted.rows
        while self._rows > self._max_rows and len(self._noted) > 1:
            self._rows -= self._noted.popleft().rows

    def __iter__(self) -> Iterator[NotedDecision]:
        """Yield them, the last one first."""
        return reversed(self._noted)

    def of(self, request_id: str) -> list[NotedDecision]:
        """Return those of a request id, the last one first: clients choose ids, so there may be several."""
        return [noted for noted in self if noted.request_id == request_id]
