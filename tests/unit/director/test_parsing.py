"""Which parser reads a request."""

from collections.abc import Sequence

import pytest

from epp.director.parsing import ParserTable
from epp.observability import Guard, Metrics
from epp.observability.lifecycle_guards import GuardedParser
from epp.plugin import NOT_PARSED, DropReason, ParsedBody, Rejection
from epp.plugin.testing import make_context


class NamesItself:
    def __init__(self, name: str, paths: Sequence[str]) -> None:
        self.paths = paths
        self._name = name

    def parse(self, path: str, body: bytes) -> ParsedBody:
        return ParsedBody(model=self._name)


def table(*more: NamesItself) -> ParserTable:
    context = make_context()
    guard = Guard("parser", metrics=Metrics(context.metrics.registry), log=context.log)
    parsers = [NamesItself("text", ["completions"]), NamesItself("chat", ["chat/completions"]), *more]
    return ParserTable([GuardedParser(guard, parser) for parser in parsers])


@pytest.mark.parametrize(
    ("path", "parser"),
    [
        pytest.param("/v1/completions", "text", id="suffix"),
        pytest.param("/v1/chat/completions", "chat", id="longest suffix wins"),
        pytest.param("/gateway/team-a/v1/chat/completions", "chat", id="any prefix"),
        pytest.param("/v1/chat/completions?api-version=1", "chat", id="query string does not count"),
        pytest.param("/v1/completions/", "text", id="trailing slash does not count"),
        pytest.param("/v1/uncompletions", "", id="suffix begins at a slash"),
        pytest.param("/v1/models", "", id="claimed by none"),
    ],
)
def test_parser_is_chosen_by_the_end_of_the_path(path: str, parser: str) -> None:
    assert table().parse({":path": path}, b"").model == parser


@pytest.mark.parametrize("header", ["x-original-path", "x-envoy-original-path", "x-forwarded-path"])
def test_path_that_a_route_has_rewritten_is_found_in_another_header(header: str) -> None:
    assert table().parse({":path": "/rewritten", header: "/v1/chat/completions?a=b"}, b"").model == "chat"
    assert table().parse({":path": "/v1/completions", header: "/v1/chat/completions"}, b"").model == "text"


@pytest.mark.parametrize(("body", "parser"), [(b'{"prompt": "x"}', "text"), (b'{"messages": []}', "chat")])
def test_api_of_a_request_without_a_path_is_guessed(body: bytes, parser: str) -> None:
    """NGINX Gateway Fabric sends the client's headers only."""
    assert table().parse({"host": "x"}, body).model == parser


def test_parser_without_paths_reads_what_no_other_claims() -> None:
    parsers = table(NamesItself("rest", []))
    assert parsers.parse({":path": "/v1/models"}, b"").model == "rest"
    assert parsers.parse({":path": "/v1/completions"}, b"").model == "text"


def test_compressed_body_is_not_read() -> None:
    head = {":path": "/v1/completions"}
    assert table().parse(head | {"content-encoding": "gzip"}, b"").model == ""
    assert table().parse(head | {"content-encoding": "identity"}, b"").model == "text"


class Echoes:
    paths = ("completions",)

    def parse(self, path: str, body: bytes) -> ParsedBody:
        if not body.startswith(b"{"):
            raise Rejection(DropReason.BAD_REQUEST, "no object")
        return ParsedBody(model=body.decode())


def test_body_that_was_cut_is_closed_for_its_parser_and_never_refused() -> None:
    context = make_context()
    guard = Guard("parser", metrics=Metrics(context.metrics.registry), log=context.log)
    parsers = ParserTable([GuardedParser(guard, Echoes())])
    head = {":path": "/v1/completions"}
    assert parsers.parse(head, b'{"model": "m", "prompt": "abc', is_cut=True).model == '{"model": "m", "prompt": "abc"}'
    assert parsers.parse(head, b"nonsense", is_cut=True).model == ""
    assert parsers.parse({}, b"nonsense") is NOT_PARSED
