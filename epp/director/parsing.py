"""Which parser reads a request: the one that claims the longest suffix of its path."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from epp.director.json_bytes import close_json, model_of
from epp.observability.lifecycle_guards import GuardedParser
from epp.plugin import NOT_PARSED, ParsedBody, Rejection

PATHS = (":path", "x-original-path", "x-envoy-original-path", "x-forwarded-path")
"""Headers that name the path, in order: a route that rewrites it leaves the one that the client sent in another."""

MAX_PATHS = 256
"""Paths of which it is remembered who claims them: clients send few, unless they mean harm."""


class ParserTable:
    """The configured parsers by path suffix."""

    def __init__(self, parsers: Sequence[GuardedParser]) -> None:
        by_suffix: dict[str, GuardedParser] = {}
        for parser in parsers:
            for suffix in parser.paths:
                by_suffix.setdefault("/" + suffix.strip("/"), parser)
        self._by_suffix: Mapping[str, GuardedParser] = dict(sorted(by_suffix.items(), key=lambda item: -len(item[0])))
        self._for_the_rest = next((parser for parser in parsers if not parser.paths), None)
        self._claimed = lru_cache(maxsize=MAX_PATHS)(self._claim)

    def parse(self, head: Mapping[str, str], body: bytes, *, is_cut: bool = False) -> ParsedBody:
        """Return what the body says, `NOT_PARSED` when no parser claims the path; raises the parser's `Rejection`.

        The query string and trailing slashes do not count. A body that was cut is read as far as it goes, and never
        refused: what is wrong with it may be missing only here. Nor is one without a path, whose API is guessed.
        """
        paths = [head[name] for name in PATHS if head.get(name)]
        parser, path = self._parser_of(paths or [_guessed_path(body)])
        if parser is None or not is_uncompressed(head):
            return NOT_PARSED
        if paths and not is_cut:
            return parser.parse(path, body)
        body = close_json(body) if is_cut else body
        try:
            return parser.parse(path, body)
        except Rejection:
            return ParsedBody(model=model_of(body)) if is_cut else NOT_PARSED

    def _parser_of(self, paths: Sequence[str]) -> tuple[GuardedParser | None, str]:
        claims = [self._claimed(path) for path in paths]
        for parser, path in claims:
            if parser is not None:
                return parser, path
        return self._for_the_rest, claims[0][1]

    def _claim(self, path: str) -> tuple[GuardedParser | None, str]:
        """Return who claims a path, and the path without what does not count."""
        plain = path.partition("?")[0].rstrip("/")
        return next((parser for suffix, parser in self._by_suffix.items() if plain.endswith(suffix)), None), plain


def _guessed_path(body: bytes) -> str:
    """Return the path that a body was probably sent to: the picker client of NGINX Gateway Fabric names none."""
    return "/v1/chat/completions" if b'"messages"' in body else "/v1/completions"


def is_uncompressed(head: Mapping[str, str]) -> bool:
    """Tell whether a message's body is what it says, and not compressed."""
    return head.get("content-encoding", "identity") in {"identity", ""}
