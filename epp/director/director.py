"""The recipe."""

import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from epp.director.candidates import list_candidates
from epp.director.parsing import ParserTable
from epp.observability import Metrics
from epp.observability.instrument import GuardedObserver, GuardedProducer
from epp.plugin import Decision, Endpoint, InferenceRequest, ParsedBody, PrefixMatches, Rejection
from epp.scheduling import Scheduler

LOGGED_CHARACTERS = 200
"""Clients choose request ids, paths and model names; in the log they are cut to this length."""


@dataclass(frozen=True, slots=True)
class ArrivedRequest:
    """A complete request as the edge hands it over."""

    head: Mapping[str, str]
    """Lower-case names, pseudo headers such as ``:path`` included."""
    body: bytes | None
    """Empty: the request has none. ``None``: the gateway keeps it to itself, so the head alone decides."""
    subset: Sequence[str] | None
    """The gateway's subset hint, each ``ip:port``; ``None`` when it gave none."""

    @property
    def path(self) -> str:
        """Path and query string, empty when there is none."""
        return self.head.get(":path", "")

    @property
    def is_readable(self) -> bool:
        """Tell whether a parser should look at it: a POST without a body is an error, a GET is not."""
        return bool(self.body) or (self.body is not None and self.head.get(":method") == "POST")


@dataclass(frozen=True, slots=True)
class RoutedRequest:
    """Where a request goes; held until its stream has ended. The prompt is not: answers can take minutes."""

    request_id: str
    model: str
    decision: Decision


class Director:
    """Routes requests, one call each."""

    def __init__(  # noqa: PLR0913 - a composition point: each is one collaborator, given by name
        self,
        *,
        pool: Callable[[], Sequence[Endpoint]],
        parsers: ParserTable,
        producers: Sequence[GuardedProducer],
        scheduler: Scheduler,
        observers: GuardedObserver,
        metrics: Metrics,
        clock: Callable[[], float],
        log: FilteringBoundLogger,
        log_requests: bool = True,
    ) -> None:
        self._pool = pool
        self._parsers = parsers
        self._producers = producers
        self._scheduler = scheduler
        self._observers = observers
        self._metrics = metrics
        self._clock = clock
        self._log = log
        self._log_requests = log_requests

    async def route(self, arrived: ArrivedRequest) -> RoutedRequest:
        """Decide where a request goes; raises `Rejection` with what the client should be told.

        What is routed must be given back to `ended` exactly once, when its stream has ended.
        """
        started = self._clock()
        request_id = arrived.head.get("x-request-id") or str(uuid.uuid4())
        try:
            request = self._read(arrived, request_id)
            for producer in self._producers:
                await producer.produce(request, list_candidates(self._pool(), arrived.subset))
            decision = self._scheduler.schedule(request, list_candidates(self._pool(), arrived.subset))
        except Rejection as rejection:
            self._note_rejection(arrived, request_id, rejection)
            raise
        self._observers.on_routed(request, decision)
        self._note_decision(request, decision, self._clock() - started)
        return RoutedRequest(request.id, request.model, decision)

    def ended(self, routed: RoutedRequest) -> None:
        """Release what a routed request held: its stream has ended, clean or not."""
        self._metrics.request_ended()

    def _read(self, arrived: ArrivedRequest, request_id: str) -> InferenceRequest:
        """Parse the request and count it; a body that cannot be read counts under no model."""
        parsed: ParsedBody | None = None
        try:
            if arrived.is_readable:
                parsed = self._parsers.parse(arrived.path, arrived.body or b"")
        finally:
            self._metrics.request_received(parsed.model if parsed else "")
        return InferenceRequest(
            request_id=request_id,
            head=arrived.head,
            parsed=parsed,
            body_bytes=len(arrived.body or b""),
        )

    def _note_rejection(self, arrived: ArrivedRequest, request_id: str, rejection: Rejection) -> None:
        status = rejection.refusal.status
        self._metrics.request_rejected(status, rejection.reason)
        if self._log_requests:
            self._log.info(
                "request_rejected",
                request_id=request_id[:LOGGED_CHARACTERS],
                path=arrived.path[:LOGGED_CHARACTERS],
                status=status,
                reason=rejection.reason,
                message=rejection.message,
            )

    def _note_decision(self, request: InferenceRequest, decision: Decision, duration_s: float) -> None:
        matches = request.attribute(PrefixMatches)
        ratio = matches.ratio(decision.primary) if matches else None
        self._metrics.request_routed(decision.primary, duration_s, ratio)
        if self._log_requests:
            self._log.info(
                "request_routed",
                request_id=request.id[:LOGGED_CHARACTERS],
                path=request.head.get(":path", "")[:LOGGED_CHARACTERS],
                model=request.model[:LOGGED_CHARACTERS],
                endpoint=decision.primary.key,
                prefix_match_ratio=None if ratio is None else round(ratio, 3),
                decision_ms=round(duration_s * 1000, 3),
            )
        if self._log.is_enabled_for(logging.DEBUG):
            for result in decision.results.values():
                self._log.debug("decision", request_id=request.id, profile=result.profile, scores=result.table())
