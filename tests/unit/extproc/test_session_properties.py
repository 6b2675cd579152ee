"""Any gateway: a machine sends any messages in any order, and a model of what a gateway needs looks at the answers."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from epp._pb import external_processor_pb2 as pb
from epp.director import ArrivedRequest
from epp.extproc.session import Session
from epp.observability import Guard, Metrics
from epp.observability.lifecycle_guards import GuardedObserver
from epp.plugin import Decision, DropReason, InferenceRequest, Rejection, Response
from epp.plugin.testing import make_context
from tests.fakes.ext_proc import (
    BUFFERED,
    BUFFERED_PARTIAL,
    DUPLEX,
    NONE,
    RESPONSE_TRAILERS,
    STREAMED,
    TRAILERS,
    body,
    common_of,
    head,
    response_body,
    response_head,
    taken,
)
from tests.fakes.routed import make_routed, no_endpoint, some_endpoint

CHUNK = st.binary(max_size=20) | st.sampled_from([b"", b'{"model":"', b'x"}', b"z" * 70_000])
ANY_MODE = st.sampled_from([None, 0, 1, 2, 3, 4, 5, 77])
MAX_BODY_BYTES = 200_000


class CountsEnds:
    """An observer that counts."""

    def __init__(self) -> None:
        self.ends = 0

    def on_done(self, request: InferenceRequest, decision: Decision, response: Response) -> None:
        self.ends += 1


def observed_by(observer: CountsEnds) -> GuardedObserver:
    context = make_context()
    return GuardedObserver(done=[(Guard("p", metrics=Metrics(context.metrics.registry), log=context.log), observer)])


class Exchange:
    """A session with somebody who routes, and who keeps book of what is released."""

    def __init__(self, *, has_endpoint: bool = True) -> None:
        self.session = Session(
            any_endpoint=some_endpoint if has_endpoint else no_endpoint, max_body_bytes=MAX_BODY_BYTES
        )
        self.observer = CountsEnds()
        self.routed = make_routed(observers=observed_by(self.observer))
        self.has_routed = False
        self.rejects = False

    def send(self, message: pb.ProcessingRequest) -> list[pb.ProcessingResponse]:
        try:
            self.decide(self.session.receive(message))
        except Rejection as rejection:
            self.session.reject(rejection)
        return taken(self.session)

    def keep_silent(self) -> list[pb.ProcessingResponse]:
        self.decide(self.session.lose_patience())
        return taken(self.session)

    def decide(self, arrived: ArrivedRequest | None) -> None:
        if arrived is None:
            return
        assert not self.has_routed
        if self.rejects:
            self.session.reject(Rejection(DropReason.NO_ENDPOINTS, "nobody"))
        else:
            self.has_routed = True
            self.session.route(self.routed)


class AnyOrder(RuleBasedStateMachine):
    """Messages in an order that no gateway would send: nothing raises, nothing is answered that was not asked."""

    @initialize(has_endpoint=st.booleans(), rejects=st.booleans())
    def begin(self, *, has_endpoint: bool, rejects: bool) -> None:
        self.exchange = Exchange(has_endpoint=has_endpoint)
        self.exchange.rejects = rejects
        self.heads = self.trailers = self.immediate = 0

    @rule(mode=ANY_MODE, response_mode=st.sampled_from([0, 1, 2, 3, 4, 77]), end=st.booleans(), rewrite=st.booleans())
    def request_head(self, mode: int | None, response_mode: int, *, end: bool, rewrite: bool) -> None:
        headers = {"x-gateway-model-name-rewrite": "m"} if rewrite else {}
        message = head(request_mode=mode, response_mode=response_mode, end_of_stream=end, headers=headers)
        self.note(self.exchange.send(message))

    @rule(chunk=CHUNK, end=st.booleans())
    def request_body(self, chunk: bytes, *, end: bool) -> None:
        self.note(self.exchange.send(body(chunk, end=end)))

    @rule()
    def request_trailers(self) -> None:
        self.trailers += 1
        self.note(self.exchange.send(TRAILERS))

    @rule(end=st.booleans())
    def response_head(self, *, end: bool) -> None:
        self.note(self.exchange.send(response_head(end=end)))

    @rule(chunk=CHUNK, end=st.booleans())
    def response_body(self, chunk: bytes, *, end: bool) -> None:
        answers = self.exchange.send(response_body(chunk, end=end))
        assert all(answer.WhichOneof("response") == "response_body" for answer in answers)

    @rule()
    def response_trailers(self) -> None:
        self.note(self.exchange.send(RESPONSE_TRAILERS))

    @rule()
    def nothing(self) -> None:
        assert self.exchange.send(pb.ProcessingRequest()) == []

    @rule()
    def silence(self) -> None:
        self.note(self.exchange.keep_silent())

    def note(self, answers: list[pb.ProcessingResponse]) -> None:
        for answer in answers:
            kind = answer.WhichOneof("response")
            self.heads += kind == "request_headers"
            self.trailers -= kind == "request_trailers"
            self.immediate += kind == "immediate_response"

    @invariant()
    def head_and_rejection_are_answered_at_most_once(self) -> None:
        assert self.heads <= 1
        assert self.immediate <= 1
        assert self.trailers >= 0

    @invariant()
    def no_more_is_held_than_allowed(self) -> None:
        assert 0 <= self.exchange.session.held_bytes <= MAX_BODY_BYTES

    def teardown(self) -> None:
        if self.exchange.has_routed:
            self.exchange.routed.ended()
            self.exchange.routed.ended()
            assert self.exchange.observer.ends == 1


class TrueGateway(RuleBasedStateMachine):
    """A gateway that does what it says, in any mode, with any split of the bodies: each byte arrives, once."""

    @initialize(
        request_mode=st.sampled_from([NONE, STREAMED, BUFFERED, BUFFERED_PARTIAL, DUPLEX]),
        response_mode=st.sampled_from([NONE, STREAMED, BUFFERED, BUFFERED_PARTIAL, DUPLEX]),
        names_modes=st.booleans(),
    )
    def begin(self, request_mode: int, response_mode: int, *, names_modes: bool) -> None:
        self.exchange = Exchange()
        self.modes = (request_mode, response_mode)
        self.request = Side(request_mode)
        self.response = Side(response_mode)
        # One that names no mode can be told apart only as long as it streams in full duplex.
        named = request_mode if names_modes or self.modes != (DUPLEX, DUPLEX) else None
        answers = self.exchange.send(head(request_mode=named, response_mode=response_mode))
        assert [answer.WhichOneof("response") for answer in answers] == (
            [] if request_mode == DUPLEX else ["request_headers"]
        )
        self.head_answers = len(answers)

    @precondition(lambda self: not self.request.is_over and self.request.mode != NONE)
    @rule(chunk=CHUNK, end=st.booleans())
    def request_body(self, chunk: bytes, *, end: bool) -> None:
        end = end or self.request.mode == BUFFERED
        if len(self.request.sent) + len(chunk) > MAX_BODY_BYTES:
            return
        answers = self.exchange.send(body(chunk, end=end))
        self.head_answers += sum(answer.WhichOneof("response") == "request_headers" for answer in answers)
        bodies = [answer for answer in answers if answer.WhichOneof("response") == "request_body"]
        self.request.take(chunk, bodies, end=end)

    @precondition(lambda self: self.request.is_over and not self.response.is_over and self.response.mode != NONE)
    @rule(chunk=CHUNK, end=st.booleans())
    def response_body(self, chunk: bytes, *, end: bool) -> None:
        end = end or self.response.mode == BUFFERED
        self.response.take(chunk, self.exchange.send(response_body(chunk, end=end)), end=end)

    @precondition(lambda self: self.request.is_over)
    @rule()
    def request_trailers(self) -> None:
        (answer,) = self.exchange.send(TRAILERS)
        assert answer.WhichOneof("response") == "request_trailers"

    @rule(end=st.booleans())
    def response_head(self, *, end: bool) -> None:
        if self.request.is_over:
            (answer,) = self.exchange.send(response_head(end=end))
            assert answer.WhichOneof("response") == "response_headers"

    @invariant()
    def every_byte_that_is_due_has_arrived(self) -> None:
        if self.request.is_over:
            assert self.request.arrived == self.request.sent
            assert self.head_answers == 1
        assert self.response.arrived == self.response.sent


class Side:
    """What a gateway does with the answers to one direction's body."""

    def __init__(self, mode: int) -> None:
        self.mode = mode
        self.sent = b""
        self.arrived = b""
        self.is_over = mode == NONE

    def take(self, chunk: bytes, answers: list[pb.ProcessingResponse], *, end: bool) -> None:
        """Apply the answers to one message as Envoy does."""
        self.sent += chunk
        # What a buffer that is too small has not taken passes by unseen.
        self.is_over = end or self.mode == BUFFERED_PARTIAL
        if self.mode == DUPLEX:
            for answer in answers:
                assert common_of(answer).body_mutation.HasField("streamed_response")
                self.arrived += common_of(answer).body_mutation.streamed_response.body
            return
        (answer,) = answers
        mutation = common_of(answer).body_mutation
        if mutation.HasField("streamed_response"):
            assert self.mode != STREAMED
            assert "content-length" in common_of(answer).header_mutation.remove_headers
        assert not mutation.HasField("body")
        self.arrived += chunk


TestAnyOrder = AnyOrder.TestCase
TestTrueGateway = TrueGateway.TestCase
TestAnyOrder.settings = TestTrueGateway.settings = settings(deadline=None)
