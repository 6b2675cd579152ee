"""What becomes of a routed request: what its answer tells, who is told, and that it ends once."""

import dataclasses
from collections.abc import Mapping

import pytest

from epp.director import ArrivedRequest, Controls, RoutedRequest
from epp.observability import Guard, Metrics
from epp.observability.lifecycle_guards import GuardedObserver
from epp.plugin import Decision, Endpoint, InferenceRequest, OutputEstimate, Response, Usage
from epp.plugin.testing import make_context, make_endpoint, make_request
from tests.fakes.picker import director_and_metrics, value_of
from tests.fakes.routed import make_reporting, make_routed

OK = {":status": "200"}
USAGE = b'{"usage":{"prompt_tokens":7,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":4}}}'


class Observer:
    """Notes what it is told, and wants a header."""

    def __init__(self) -> None:
        self.heads: list[Response] = []
        self.done: list[Response] = []

    def on_response_head(self, request: InferenceRequest, decision: Decision, response: Response) -> Mapping[str, str]:
        self.heads.append(response)
        return {"X-Wanted": "yes"}

    def on_done(self, request: InferenceRequest, decision: Decision, response: Response) -> None:
        self.done.append(response)


def observed(*observers: object) -> tuple[GuardedObserver, Metrics]:
    context = make_context()
    metrics = Metrics(context.metrics.registry)
    guarded = [(Guard("p", metrics=metrics, log=context.log), observer) for observer in observers]
    return GuardedObserver(heads=guarded, done=guarded), metrics  # type: ignore[arg-type] # some are no observers


def test_end_is_told_once_with_all_that_the_answer_told() -> None:
    observer = Observer()
    routed = make_routed(parsed=True, observers=observed(observer)[0])
    routed.response_head(OK, "10.0.0.7:8000")
    routed.response_chunk(USAGE[:30], is_last=False)
    routed.response_chunk(USAGE[30:], is_last=True)
    routed.ended()
    routed.ended()
    (response,) = observer.done
    assert (response.status, response.served_by, response.is_complete) == (200, "10.0.0.7:8000", True)
    assert response.usage == Usage(prompt_tokens=7, completion_tokens=3, cached_tokens=4)
    assert response.duration_s == 0.0


def test_request_that_is_never_answered_ends_too() -> None:
    observer = Observer()
    make_routed(observers=observed(observer)[0]).ended()
    assert [(one.status, one.is_complete, one.is_error) for one in observer.done] == [(None, False, False)]


def test_answer_without_a_body_is_complete_with_its_trailers() -> None:
    routed = make_routed()
    routed.response_head(OK, None)
    assert not routed.response.is_complete
    routed.response_complete()
    assert routed.response.is_complete


def test_header_that_a_plugin_wants_is_set_in_lower_case() -> None:
    assert make_routed(observers=observed(Observer())[0]).response_head(OK, None) == {"x-wanted": "yes"}


@pytest.mark.parametrize(
    "wanted",
    [
        *({"a": 1}, {"": "x"}, {1: "x"}, "text", 5),
        *({":status": "200"}, {"a b": "x"}, {"content-length": "1"}, {"x": "a\r\nb"}, {"x": "\ud800"}),
    ],
)
def test_plugin_that_wants_nonsense_is_contained_and_named(wanted: object) -> None:
    class Wants(Observer):
        def on_response_head(self, *_: object) -> Mapping[str, str]:
            return wanted  # type: ignore[return-value]

    observers, metrics = observed(Wants(), Observer())
    assert make_routed(observers=observers).response_head(OK, None) == {"x-wanted": "yes"}
    assert value_of(metrics, "epp_plugin_errors_total", plugin="p", point="on_response_head") == 1


@pytest.mark.parametrize(
    ("status", "is_error"), [("200", False), ("204", False), ("199", True), ("302", True), ("404", True), ("503", True)]
)
def test_answer_other_than_2xx_is_the_endpoints_error(status: str, *, is_error: bool) -> None:
    routed = make_routed()
    routed.response_head({":status": status}, None)
    assert routed.response.is_error == is_error


@pytest.mark.parametrize("status", ["", "abc", "2000", "٢٠٠", "-20"])
def test_status_that_makes_no_sense_is_none(status: str) -> None:
    routed = make_routed()
    routed.response_head({":status": status}, None)
    assert (routed.response.status, routed.response.is_error) == (None, False)


async def routed_and_metrics(*, served_by: str | None, status: str) -> Metrics:
    pool = [make_endpoint("one", address="10.0.0.1")]
    director, metrics = director_and_metrics(pool)
    routed = await director.route(ArrivedRequest({":path": "/v1/models", ":method": "GET"}, b"", None))
    routed.response_head({":status": status}, served_by)
    routed.response_chunk(USAGE, is_last=True)
    routed.ended()
    return metrics


async def test_error_is_counted_for_the_endpoint() -> None:
    metrics = await routed_and_metrics(served_by=None, status="500")
    assert value_of(metrics, "epp_endpoint_errors_total", endpoint="default/one", code="500") == 1
    assert value_of(metrics, "epp_time_to_first_byte_seconds_count") == 0


async def test_success_is_timed() -> None:
    metrics = await routed_and_metrics(served_by="10.0.0.1:8000", status="200")
    assert value_of(metrics, "epp_time_to_first_byte_seconds_count") == 1
    assert value_of(metrics, "epp_request_duration_seconds_count") == 1


async def test_usage_is_not_looked_for_where_no_parser_read_the_request() -> None:
    metrics = await routed_and_metrics(served_by=None, status="200")
    assert value_of(metrics, "epp_tokens_total", kind="prompt") is None


def test_fallback_that_served_is_the_one_that_is_named() -> None:
    first, second = make_endpoint("first", address="10.0.0.1"), make_endpoint("second", address="10.0.0.2")
    for served_by, name in (("10.0.0.2:8000", "second"), ("10.0.0.1:8000", "first"), ("10.9.9.9:1", "first")):
        routed = make_routed(first, second, endpoint_header="x-inference-pod")
        assert routed.response_head(OK, served_by) == {"x-inference-pod": name}


class Entry:
    """Notes what it is told of a request in flight."""

    def __init__(self, endpoint: Endpoint, tokens: tuple[int, int]) -> None:
        self.endpoint, self.tokens = endpoint.name, tokens
        self.events: list[object] = []

    def started(self, status: int | None) -> None:
        self.events.append(status)

    def ended(self) -> None:
        self.events.append("ended")

    def went_elsewhere(self) -> None:
        self.events.append("elsewhere")


def test_fallback_that_serves_is_the_one_that_the_request_is_in_flight_to() -> None:
    first, second = make_endpoint("first", address="10.0.0.1"), make_endpoint("second", address="10.0.0.2")
    entries: list[Entry] = []

    def take(endpoint: Endpoint, uncached_tokens: int, *, output_tokens: int) -> Entry:
        entries.append(Entry(endpoint, (uncached_tokens, output_tokens)))
        return entries[-1]

    reporting = dataclasses.replace(make_reporting(), take=take)
    request = make_request(prompts=[b"x" * 40])
    request.attach(OutputEstimate(tokens=3))
    routed = RoutedRequest(request, Decision(endpoints=[first, second]), reporting=reporting, is_parsed=False)
    routed.response_head(OK, "10.0.0.2:8000")
    routed.ended()
    assert [(one.endpoint, one.tokens, one.events) for one in entries] == [
        ("first", (10, 3), ["elsewhere"]),
        ("second", (10, 3), [200, "ended"]),
    ]


BODY = b'{"model":"asked-for", "prompt":"x", "seed": 9007199254740993}'


def arrived(body: bytes | None = BODY, *, is_cut: bool = False, path: str = "/v1/completions") -> ArrivedRequest:
    head = {":path": path, ":method": "POST"}
    return ArrivedRequest(head, body, None, is_cut=is_cut, controls=Controls(model_rewrite="other", objective="o"))


async def test_model_is_rewritten_and_decided_on() -> None:
    director, metrics = director_and_metrics([make_endpoint()])
    routed = await director.route(arrived())
    assert routed.new_body == BODY.replace(b"asked-for", b"other")
    assert (routed.request.model, routed.request.client_model, routed.request.objective) == ("other", "asked-for", "o")
    assert routed.changes_response
    assert value_of(metrics, "epp_model_rewrites_total", result="applied") == 1
    assert value_of(metrics, "epp_requests_total", model="asked-for") == 1


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(arrived(None), id="body not shown"),
        pytest.param(arrived(BODY[:-5], is_cut=True), id="body cut"),
        pytest.param(arrived(path="/unknown"), id="no parser"),
    ],
)
async def test_request_that_cannot_be_rewritten_goes_on_as_it_is(request_: ArrivedRequest) -> None:
    director, metrics = director_and_metrics([make_endpoint()])
    routed = await director.route(request_)
    assert routed.new_body is None
    assert routed.request.model == routed.request.client_model
    assert not routed.changes_response
    assert value_of(metrics, "epp_model_rewrites_total", result="impossible") == 1


async def test_rewrite_to_the_same_model_is_none() -> None:
    director, metrics = director_and_metrics([make_endpoint()])
    routed = await director.route(arrived(BODY.replace(b"asked-for", b"other")))
    assert routed.new_body is None
    assert value_of(metrics, "epp_model_rewrites_total", result="applied") is None


async def test_prompt_is_let_go_with_the_decision() -> None:
    director, _ = director_and_metrics([make_endpoint()])
    assert (await director.route(arrived())).request.prompts == ()
