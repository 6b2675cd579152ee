"""The recipe."""

import logging
import random
import uuid
from collections.abc import Callable, Sequence

from structlog.typing import FilteringBoundLogger

from epp.director.arrived import ArrivedRequest
from epp.director.candidates import list_candidates
from epp.director.decisions import DecisionLog
from epp.director.json_bytes import replace_model
from epp.director.parsing import ParserTable
from epp.director.policies import Policies
from epp.director.routed import Reporting, RoutedRequest
from epp.director.shadow import Shadow
from epp.director.shedding import Shedder
from epp.observability.lifecycle_guards import GuardedAdmitter, GuardedProducer
from epp.plugin import (
    NOT_PARSED,
    Decision,
    Endpoint,
    InferenceRequest,
    ParsedBody,
    PrefixMatches,
    Rejection,
)
from epp.scheduling import Scheduler, without_avoided

REQUEST_ID = "x-request-id"
LOGGED_CHARACTERS = 200
"""Clients choose request ids, paths and model names; in the log they are cut to this length."""


class Director:
    """Routes requests, one call each."""

    def __init__(  # noqa: PLR0913 - a composition point: each is one collaborator, given by name
        self,
        *,
        pool: Callable[[], Sequence[Endpoint]],
        parsers: ParserTable,
        producers: Sequence[GuardedProducer],
        admitters: Sequence[GuardedAdmitter | Shedder] = (),
        scheduler: Scheduler,
        reporting: Reporting,
        rng: random.Random,
        log: FilteringBoundLogger,
        log_requests: bool = True,
        decisions: DecisionLog | None = None,
        shadow: Shadow | None = None,
        policies: Policies | None = None,
        uses_subset: bool = True,
    ) -> None:
        self._pool = pool
        self._parsers = parsers
        self._producers = producers
        self._admitters = admitters
        self._scheduler = scheduler
        self._reporting = reporting
        self._random = rng
        self._log = log
        self._log_requests = log_requests
        self._decisions = decisions or DecisionLog()
        self._shadow = shadow
        self._policies = policies or Policies(rng)
        self._uses_subset = uses_subset

    async def route(self, arrived: ArrivedRequest) -> RoutedRequest:
        """Decide where a request goes; raises `Rejection` with what the client should be told.

        What is routed must be told `RoutedRequest.ended` when its stream has ended.
        """
        started = self._reporting.clock()
        request_id = arrived.head.get(REQUEST_ID) or str(uuid.uuid4())
        try:
            parsed = self._parse(arrived)
            wanted = self._wanted_model(arrived, parsed)
            new_body = _rewritten(arrived, parsed, wanted)
            request = _make_request(arrived, parsed, request_id, new_body=new_body, model=wanted)
            request.priority = self._policies.priority_of(request.objective)
            decision = await self._decide(request, arrived.subset)
        except Rejection as rejection:
            self._note_rejection(arrived, request_id, rejection)
            raise
        self._reporting.observers.on_routed(request, decision)
        self._note_decision(request, decision, self._reporting.clock() - started)
        self._decisions.note(request, decision)
        if wanted:
            self._reporting.metrics.model_rewrite_asked(is_possible=new_body is not None)
        routed = RoutedRequest(
            request,
            decision,
            reporting=self._reporting,
            is_parsed=parsed is not NOT_PARSED,
            new_body=new_body,
            headers=decision.headers if REQUEST_ID in arrived.head else {REQUEST_ID: request_id, **decision.headers},
        )
        request.forget_content()
        return routed

    def any_endpoint(self, subset: Sequence[str] | None) -> Endpoint | None:
        """Return some endpoint that a request could go to, for a gateway that cannot wait for a decision."""
        try:
            return self._random.choice(without_avoided(self._candidates(subset), self._reporting.clock()))
        except Rejection:
            return None

    def _candidates(self, subset: Sequence[str] | None) -> list[Endpoint]:
        return list_candidates(self._pool(), subset if self._uses_subset else None)

    def reject(self, arrived: ArrivedRequest, rejection: Rejection) -> None:
        """Count and log a request that was refused before it was complete."""
        self._reporting.metrics.request_received("")
        self._note_rejection(arrived, arrived.head.get(REQUEST_ID, ""), rejection)

    def _parse(self, arrived: ArrivedRequest) -> ParsedBody:
        """Parse the request and count it; a body that cannot be read counts under no model."""
        parsed = NOT_PARSED
        try:
            if arrived.has_readable_body:
                parsed = self._parsers.parse(arrived.head, arrived.body or b"", is_cut=arrived.is_cut)
        finally:
            self._reporting.metrics.request_received(parsed.model)
        return parsed

    def _wanted_model(self, arrived: ArrivedRequest, parsed: ParsedBody) -> str:
        """Return the model that a header or a rule asks for in place of the client's; empty: that one."""
        wanted = arrived.controls.model_rewrite or self._policies.target_of(parsed.model)
        return "" if wanted == parsed.model else wanted

    async def _decide(self, request: InferenceRequest, subset: Sequence[str] | None) -> Decision:
        """Return where the request goes. The pool is read again after every wait: it may have changed meanwhile."""
        candidates = self._candidates(subset)
        for producer in self._producers:
            if await producer.produce(request, candidates):
                candidates = self._candidates(subset)
        for admitter in self._admitters:
            admitter.admit(request, candidates)
        decision = self._scheduler.schedule(request, candidates)
        if self._shadow is not None:
            self._shadow.compare(request, candidates, decision)
        return decision

    def _note_rejection(self, arrived: ArrivedRequest, request_id: str, rejection: Rejection) -> None:
        status = rejection.refusal.status
        self._reporting.metrics.request_rejected(status, rejection.reason)
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
        self._reporting.metrics.request_routed(decision.primary, duration_s, ratio)
        if self._log_requests:
            self._log.info(
                "request_routed",
                request_id=request.id[:LOGGED_CHARACTERS],
                path=request.head.get(":path", "")[:LOGGED_CHARACTERS],
                client_model=request.client_model[:LOGGED_CHARACTERS],
                model=request.model[:LOGGED_CHARACTERS],
                endpoint=decision.primary.key,
                prefix_match_ratio=None if ratio is None else round(ratio, 3),
                decision_ms=round(duration_s * 1000, 3),
            )
        if self._log.is_enabled_for(logging.DEBUG):
            for result in decision.results.values():
                self._log.debug(
                    "decision", request_id=request.id[:LOGGED_CHARACTERS], profile=result.profile, scores=result.table()
                )


def _rewritten(arrived: ArrivedRequest, parsed: ParsedBody, wanted: str) -> bytes | None:
    """Return the body with another model; ``None``: it goes on as it is."""
    if not wanted or not parsed.is_rewritable or arrived.is_cut:
        return None
    return replace_model(arrived.body or b"", wanted)


def _make_request(
    arrived: ArrivedRequest, parsed: ParsedBody, request_id: str, *, new_body: bytes | None, model: str
) -> InferenceRequest:
    body = arrived.body or b""
    return InferenceRequest(
        request_id=request_id,
        head=arrived.head,
        parsed=parsed,
        body_bytes=len(body),
        body=b"" if arrived.is_cut else body if new_body is None else new_body,
        model=None if new_body is None else model,
        objective=arrived.controls.objective,
        fairness_id=arrived.controls.fairness_id,
    )
