"""A request that has been routed, until its stream has ended: what its answer tells, and what is changed in it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from epp.director.parsing import is_uncompressed
from epp.director.rewrite import ModelNameRestorer
from epp.director.usage import UsageReader
from epp.observability import Metrics
from epp.observability.lifecycle_guards import GuardedObserver
from epp.plugin import Decision, Endpoint, InferenceRequest, OutputEstimate, Response


class InFlightEntry(Protocol):
    """A request in the books of its endpoint; each event counts once, however often it is told."""

    def started(self, status: int | None) -> None:
        """Take note of the first byte of its answer, and its HTTP status."""
        ...

    def ended(self) -> None:
        """Take note that its stream has ended."""
        ...

    def went_elsewhere(self) -> None:
        """Take note that the gateway could not reach the endpoint and sent it to another one."""
        ...


class Take(Protocol):
    """Counts requests as in flight."""

    def __call__(self, endpoint: Endpoint, uncached_tokens: int, *, output_tokens: int) -> InFlightEntry:
        """Count one to an endpoint: prompt tokens that are not expected in the cache there, and those of its output."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporting:
    """Who is told of answers, and how."""

    observers: GuardedObserver
    metrics: Metrics
    clock: Callable[[], float]
    take: Take
    endpoint_header: str | None = None
    """Response header that names the endpoint to the client."""


class RoutedRequest:
    """Where a request goes, and what has become of it. It does not hold the prompt: answers can take minutes."""

    def __init__(
        self,
        request: InferenceRequest,
        decision: Decision,
        *,
        reporting: Reporting,
        is_parsed: bool,
        new_body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.request = request
        self.decision = decision
        self.new_body = new_body
        """The body with the model rewritten; ``None``: it goes on as it came."""
        self.headers: Mapping[str, str] = headers or {}
        """To be set on the request."""
        self.response = Response()
        self._reporting = reporting
        self._routed_at = reporting.clock()
        estimate = request.attribute(OutputEstimate)
        self._output_tokens = 0 if estimate is None else estimate.tokens
        self._in_flight_to = decision.primary
        self._in_flight = self._take(decision.primary)
        self._prefill = None if decision.prefill is None else self._take_prefill(decision.prefill)
        self._is_parsed = is_parsed
        self._usage: UsageReader | None = None
        self._restorer: ModelNameRestorer | None = None
        if new_body is not None:
            self._restorer = ModelNameRestorer(served=request.model, client=request.client_model)
        self._has_ended = False

    @property
    def changes_response(self) -> bool:
        """Tell whether the answer's body may leave with another length than it came with."""
        return self._restorer is not None

    def response_head(self, head: Mapping[str, str], served_by: str | None) -> Mapping[str, str]:
        """Take note of the answer's head; returns the headers to set on it."""
        response = self.response
        if self._has_ended:
            return {}
        response.head, response.served_by = head, served_by
        response.status = _status(head)
        endpoint = self._serving()
        self._in_flight.started(response.status)
        self._prefill_is_over()
        self._note_byte()
        if response.is_error:
            self._reporting.metrics.endpoint_answered_error(endpoint, response.status or 0)
        if not is_uncompressed(head):
            self._restorer = None
        elif self._is_parsed and not response.is_error:
            self._usage = UsageReader()
        headers = dict(self._reporting.observers.on_response_head(self.request, self.decision, response))
        if self._reporting.endpoint_header is not None:
            headers.setdefault(self._reporting.endpoint_header, endpoint.name)
        return headers

    def response_chunk(self, chunk: bytes, *, is_last: bool) -> bytes:
        """Take note of a piece of the answer; returns what is to go on in its place."""
        if chunk:
            self.response.last_chunk_s = self._elapsed_s()
            self.response.chunks += 1
            if self.response.first_chunk_s is None:
                self.response.first_chunk_s = self.response.last_chunk_s
            if self._usage is not None:
                self._usage.feed(chunk)
        if is_last:
            self.response.is_complete = True
        if self._restorer is None:
            return chunk
        passed = self._restorer.feed(chunk)
        return passed + self._restorer.rest() if is_last else passed

    def release_held(self) -> bytes:
        """Return what is held back of the answer's body: what follows it is not shown."""
        return self._restorer.rest() if self._restorer is not None else b""

    def response_complete(self) -> None:
        """Take note that the answer has come to its end without a last piece of body."""
        self.response.is_complete = True

    def ended(self) -> None:
        """Tell everyone that it is over; only the first call counts."""
        if self._has_ended:
            return
        self._has_ended = True
        self._in_flight.ended()
        self._prefill_is_over()
        response, reporting = self.response, self._reporting
        response.duration_s = self._elapsed_s()
        response.usage = self._usage.usage if self._usage is not None else None
        reporting.metrics.request_ended(response)
        reporting.observers.on_done(self.request, self.decision, response)

    def _serving(self) -> Endpoint:
        """Return the endpoint that serves it, the one that the gateway names if it is one of ours; it counts there."""
        endpoint = self.decision.named(self.response.served_by) or self.decision.primary
        if endpoint is not self._in_flight_to:
            self._in_flight.went_elsewhere()
            self._in_flight_to = endpoint
            self._in_flight = self._take(endpoint)
        return endpoint

    def _take(self, endpoint: Endpoint) -> InFlightEntry:
        """Count the request to an endpoint, which has no prompt to compute where another one does that for it."""
        uncached_tokens = 0 if self.decision.prefill is not None else self.request.uncached_tokens(endpoint)
        return self._reporting.take(endpoint, uncached_tokens, output_tokens=self._output_tokens)

    def _take_prefill(self, endpoint: Endpoint) -> InFlightEntry:
        return self._reporting.take(endpoint, self.request.uncached_tokens(endpoint), output_tokens=0)

    def _prefill_is_over(self) -> None:
        """Count the request no more where its prompt was computed: the answer has begun, or never will."""
        if self._prefill is not None:
            self._prefill.ended()

    def _note_byte(self) -> None:
        if self.response.first_byte_s is None:
            self.response.first_byte_s = self._elapsed_s()
            if not self.response.is_error:
                self._reporting.metrics.first_byte_seen(self.response.first_byte_s)

    def _elapsed_s(self) -> float:
        return self._reporting.clock() - self._routed_at


def _status(head: Mapping[str, str]) -> int | None:
    """Return the answer's HTTP status, which gateways give as ``:status``; ``None`` for what is none."""
    text = head.get(":status", "")
    return int(text) if len(text) == len("200") and text.isascii() and text.isdigit() else None
