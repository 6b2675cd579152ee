"""What holds for a session as a whole."""

import json

import pytest

from epp._pb import external_processor_pb2 as pb
from epp.director import Controls
from epp.plugin import DropReason, Rejection
from tests.fakes.ext_proc import (
    BUFFERED,
    DUPLEX,
    body,
    exchange,
    head,
    kinds,
    new_session,
    response_head,
    taken,
)


def test_rejection_is_an_openai_error_and_ends_the_conversation() -> None:
    """Those of the Go pickers are plain text."""
    session = new_session()
    session.receive(head(end_of_stream=True))
    session.reject(Rejection(DropReason.NO_ENDPOINTS, "nobody is ready"))
    (answer,) = taken(session)
    immediate = answer.immediate_response
    assert immediate.status.code == 503
    headers = {one.header.key: one.header.raw_value.decode() for one in immediate.headers.set_headers}
    assert headers == {
        "content-type": "application/json",
        "x-llm-d-request-dropped-reason": "rejected-no-endpoints",
        "retry-after": "1",
    }
    assert json.loads(immediate.body) == {
        "error": {"message": "nobody is ready", "type": "service_unavailable_error", "code": 503, "param": None}
    }
    assert session.receive(body(b"late", end=True)) is None
    assert session.receive(response_head()) is None
    assert taken(session) == []


@pytest.mark.parametrize("reason", list(DropReason))
def test_every_rejection_says_why_and_has_a_status_of_its_kind(reason: DropReason) -> None:
    session = new_session()
    session.reject(Rejection(reason, "because"))
    (answer,) = taken(session)
    headers = {one.header.key: one.header.raw_value for one in answer.immediate_response.headers.set_headers}
    assert headers["x-llm-d-request-dropped-reason"] == reason.value.encode()
    assert ("retry-after" in headers) == (answer.immediate_response.status.code in {429, 503})


def test_bad_request_names_the_parameter() -> None:
    session = new_session()
    session.receive(head(end_of_stream=True))
    session.reject(Rejection(DropReason.BAD_REQUEST, "no model", param="model"))
    (answer,) = taken(session)
    assert json.loads(answer.immediate_response.body)["error"]["param"] == "model"


def test_message_without_content_is_passed_over() -> None:
    assert exchange(pb.ProcessingRequest()) == []


@pytest.mark.parametrize(
    ("hint", "subset"),
    [
        pytest.param(None, None, id="absent"),
        pytest.param(["10.0.0.1:8000", "[fd00::1]:8000"], ("10.0.0.1:8000", "[fd00::1]:8000"), id="list"),
        pytest.param("10.0.0.1:8000, 10.0.0.2:8000", ("10.0.0.1:8000", "10.0.0.2:8000"), id="string with commas"),
        pytest.param([], (), id="empty list"),
        pytest.param("", (), id="empty string"),
        pytest.param(7, None, id="neither"),
    ],
)
def test_subset_hint_is_read(hint: list[str] | str | int | None, subset: tuple[str, ...] | None) -> None:
    message = head(end_of_stream=True)
    if hint is not None:
        namespace = message.metadata_context.filter_metadata["envoy.lb.subset_hint"]
        namespace.update({"x-gateway-destination-endpoint-subset": hint})
    arrived = new_session().receive(message)
    assert arrived is not None
    assert arrived.subset == subset


def test_subset_hint_may_come_with_the_body() -> None:
    message = body(b"{}", end=True)
    namespace = message.metadata_context.filter_metadata["envoy.lb.subset_hint"]
    namespace.update({"x-gateway-destination-endpoint-subset": ["10.0.0.1:8000"]})
    session = new_session()
    session.receive(head())
    arrived = session.receive(message)
    assert arrived is not None
    assert arrived.subset == ("10.0.0.1:8000",)


@pytest.mark.parametrize("spelling", ["x-llm-d", "x-gateway"])
def test_control_headers_are_read_in_both_spellings_and_taken_out_of_the_head(spelling: str) -> None:
    headers = {
        f"{spelling}-model-name-rewrite": "other",
        f"{spelling}-inference-objective": "important",
        f"{spelling}-inference-fairness-id": "me",
        "x-gateway-destination-endpoint": "127.0.0.1:1",
        "X-Other": "kept",
    }
    arrived = new_session().receive(head(end_of_stream=True, headers=headers))
    assert arrived is not None
    assert arrived.controls == Controls(model_rewrite="other", objective="important", fairness_id="me")
    assert arrived.head == {":method": "POST", "x-other": "kept"}


def test_current_spelling_of_a_control_header_wins() -> None:
    headers = {"x-gateway-model-name-rewrite": "old", "x-llm-d-model-name-rewrite": "new"}
    arrived = new_session().receive(head(end_of_stream=True, headers=headers))
    assert arrived is not None
    assert arrived.controls.model_rewrite == "new"


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        pytest.param(DUPLEX, "full_duplex_streamed", id="known"),
        pytest.param(None, "unknown", id="absent"),
        pytest.param(77, "unknown", id="from the future"),
    ],
)
def test_body_modes_are_named_for_the_metrics(mode: int | None, name: str) -> None:
    session = new_session()
    session.receive(head(request_mode=mode))
    assert session.body_modes[0] == name


def test_answers_are_due_once() -> None:
    session = new_session()
    exchange(head(request_mode=BUFFERED), session=session)
    assert kinds(taken(session)) == []


def test_subset_hint_of_the_head_stays_when_the_body_comes_without_one() -> None:
    """The Go pickers forget it."""
    message = head()
    namespace = message.metadata_context.filter_metadata["envoy.lb.subset_hint"]
    namespace.update({"x-gateway-destination-endpoint-subset": ["10.0.0.1:8000"]})
    later = body(b"{}", end=True)
    later.metadata_context.filter_metadata["other"].update({"a": "b"})
    session = new_session()
    session.receive(message)
    arrived = session.receive(later)
    assert arrived is not None
    assert arrived.subset == ("10.0.0.1:8000",)


def test_header_values_are_read_from_either_field_and_need_not_be_text() -> None:
    """Envoy fills ``raw_value``, NGINX Gateway Fabric ``value``."""
    message = head(end_of_stream=True)
    message.request_headers.headers.headers.add(key="x-plain", value="a")
    message.request_headers.headers.headers.add(key="x-raw", raw_value=b"\xff")
    arrived = new_session().receive(message)
    assert arrived is not None
    assert (arrived.head["x-plain"], arrived.head["x-raw"]) == ("a", "\ufffd")
