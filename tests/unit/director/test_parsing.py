"""Which parser reads a request."""

from collections.abc import Sequence

import pytest

from epp.director.parsing import ParserTable
from epp.observability import Guard, Metrics
from epp.observability.instrument import GuardedParser
from epp.plugin import ParsedBody
from epp.plugin.testing import make_context


class NamesItself:
    def __init__(self, name: str, paths: Sequence[str]) -> None:
        self.paths = paths
        self._name = name

    def parse(self, path: str, body: bytes) -> ParsedBody:
        return ParsedBody(model=self._name)


def table() -> ParserTable:
    context = make_context()
    guard = Guard("parser", metrics=Metrics(context.metrics.registry), log=context.log)
    parsers = [NamesItself("text", ["completions"]), NamesItself("chat", ["chat/completions"])]
    return ParserTable([GuardedParser(guard, parser) for parser in parsers])


@pytest.mark.parametrize(
    ("path", "parser"),
    [
        pytest.param("/v1/completions", "text", id="suffix"),
        pytest.param("/v1/chat/completions", "chat", id="longest suffix wins"),
        pytest.param("/gateway/team-a/v1/chat/completions", "chat", id="any prefix"),
        pytest.param("/v1/chat/completions?api-version=1", "chat", id="query string does not count"),
        pytest.param("/v1/completions/", "text", id="trailing slash does not count"),
        pytest.param("/v1/uncompletions", None, id="suffix begins at a slash"),
        pytest.param("/v1/models", None, id="claimed by none"),
        pytest.param("", None, id="no path"),
    ],
)
def test_parser_is_chosen_by_the_end_of_the_path(path: str, parser: str | None) -> None:
    parsed = table().parse(path, b"")
    assert (parsed.model if parsed else None) == parser
